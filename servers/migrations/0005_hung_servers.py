
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('servers', '0004_state_changes'),
    ]

    operations = [
        migrations.AddField(
            model_name='server',
            name='hung_since',
            field=models.DateTimeField(blank=True, editable=False, null=True, verbose_name='hangs since'),
        ),
        migrations.AddField(
            model_name='server',
            name='restart_when_hung',
            field=models.BooleanField(default=False, help_text='When its process lives but has not answered for a minute, map loads aside.', verbose_name='restart when it hangs'),
        ),
    ]
