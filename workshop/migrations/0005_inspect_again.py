from django.db import migrations


def inspect_again(apps, schema_editor):
    """The inspection finds more: titles that were tokens, and maps without a mission. The next build repeats it."""
    apps.get_model("workshop", "WorkshopItem").objects.update(inspected_version=None)


class Migration(migrations.Migration):
    dependencies = [("workshop", "0004_refused_version")]

    operations = [migrations.RunPython(inspect_again, migrations.RunPython.noop)]
