import zlib

import django.db.models.deletion
from django.db import migrations, models


def inspect_packs(apps, schema_editor):
    """Have the overlays inspected that hold a competitive pack: they were built before match modes were recorded."""
    packs = [
        row.pk
        for row in apps.get_model('overlays', 'OverlayContents').objects.iterator()
        if b'left4dead2/cfg/cfgogl/' in zlib.decompress(bytes(row.packed_paths))
    ]
    apps.get_model('overlays', 'Overlay').objects.filter(pk__in=packs).update(is_inspected=False)


class Migration(migrations.Migration):

    dependencies = [
        ('overlays', '0008_deleted_files'),
    ]

    operations = [
        migrations.CreateModel(
            name='OverlayMatchModes',
            fields=[
                ('overlay', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='match_modes', serialize=False, to='overlays.overlay')),
                ('modes', models.JSONField(default=list)),
                ('names', models.JSONField(default=dict)),
            ],
        ),
        migrations.RunPython(inspect_packs, migrations.RunPython.noop),
    ]
