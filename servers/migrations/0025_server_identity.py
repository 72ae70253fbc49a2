from collections import defaultdict
from itertools import count

from django.db import migrations, models

import servers.models.game_texts


def number_servers(apps, _schema_editor):
    """Number the servers of each blueprint in the order in which they were made."""
    servers = apps.get_model("servers", "Server").objects
    numbers = defaultdict(lambda: count(1))
    for pk, blueprint in servers.order_by("pk").values_list("pk", "blueprint_id"):
        servers.filter(pk=pk).update(number=next(numbers[blueprint]))


class Migration(migrations.Migration):

    dependencies = [
        ('servers', '0024_sourcetv_of_servers'),
    ]

    operations = [
        migrations.AddField(
            model_name='blueprint',
            name='banner',
            field=models.TextField(blank=True, default='', validators=[servers.models.game_texts.is_game_text], verbose_name='banner'),
        ),
        migrations.AddField(
            model_name='blueprint',
            name='motd',
            field=models.TextField(blank=True, default='', validators=[servers.models.game_texts.is_game_text], verbose_name='message of the day'),
        ),
        migrations.AddField(
            model_name='deletedserver',
            name='number',
            field=models.PositiveIntegerField(default=0, editable=False),
        ),
        migrations.AddField(
            model_name='server',
            name='number',
            field=models.PositiveIntegerField(default=0, editable=False),
        ),
        migrations.RunPython(number_servers, migrations.RunPython.noop, elidable=True),
    ]
