from django.conf import settings
from django.db import migrations


def make_this_host(apps, schema_editor):
    """The machine that migrates is a host: one installation has one until others join."""
    apps.get_model("servers", "Host").objects.get_or_create(
        name=settings.LEFT4ME_HOST,
        defaults={"first_port": settings.LEFT4ME_PORTS[0], "last_port": settings.LEFT4ME_PORTS[-1]},
    )


class Migration(migrations.Migration):
    dependencies = [("servers", "0001_servers")]
    operations = [migrations.RunPython(make_this_host, migrations.RunPython.noop)]
