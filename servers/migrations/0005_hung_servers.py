
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('servers', '0004_state_changes'),
    ]

    operations = [
        migrations.AddField(
            model_name='server',
            name='hung_since',
            field=models.DateTimeField(blank=True, editable=False, null=True, verbose_name='unresponsive since'),
        ),
        migrations.AddField(
            model_name='server',
            name='restart_when_hung',
            field=models.BooleanField(default=False, help_text='When the game has not responded for a minute (map changes excluded).', verbose_name='restart if unresponsive'),
        ),
    ]
