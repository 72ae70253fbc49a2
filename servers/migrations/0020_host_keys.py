from django.conf import settings
from django.db import migrations, models


def remember_who_has_the_key_of_the_web(apps, schema_editor):
    """Hosts that joined before this release were given it."""
    others = apps.get_model("servers", "Host").objects.exclude(name=settings.LEFT4ME_HOST)
    others.update(knows_web_key=True)


class Migration(migrations.Migration):

    dependencies = [
        ('servers', '0019_own_copies'),
    ]

    operations = [
        migrations.AddField(
            model_name='host',
            name='key_number',
            field=models.PositiveIntegerField(default=0, editable=False),
        ),
        migrations.AddField(
            model_name='host',
            name='knows_web_key',
            field=models.BooleanField(default=False, editable=False),
        ),
        migrations.RunPython(remember_who_has_the_key_of_the_web, migrations.RunPython.noop),
    ]
