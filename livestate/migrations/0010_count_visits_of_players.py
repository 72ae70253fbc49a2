from django.db import migrations, transaction

_VISITS_AT_ONCE = 20_000
_LAST_ACCOUNT = 2**63 - 1
_MILLISECONDS = {
    'sqlite': 'CAST(ROUND((julianday({}) - 2440587.5) * 86400000) AS INTEGER)',
    'postgresql': '(EXTRACT(EPOCH FROM {}) * 1000)::bigint',
}
_ONLINE = {'sqlite': "'9999-01-01 00:00:00'", 'postgresql': "'9999-01-01 00:00:00+00'::timestamptz"}
_NAMES = {
    # With DISTINCT, SQLite separates by commas only.
    'sqlite': "REPLACE(REPLACE(GROUP_CONCAT(DISTINCT REPLACE(name_at_join, ',', char(1))), ',', char(10)), char(1), ',')",
    'postgresql': 'STRING_AGG(DISTINCT name_at_join, chr(10))',
}


def count_visits(apps, schema_editor):
    """Write what the visits of each player to each server add up to, for some of the players at a time.

    Each part is committed by itself and leaves out what is there, so that what was interrupted can be run again.
    """
    visits = apps.get_model('livestate', 'PlayerSession').objects.order_by('steam_id_64')
    vendor, last = schema_editor.connection.vendor, 0
    since, until = (_MILLISECONDS[vendor].format(column) for column in ('joined_at', 'left_at'))
    statement = f"""
        INSERT INTO livestate_serverplayer (
            server_id, steam_id_64, visits, milliseconds, first_seen_at, last_seen_at, online_since, name, names
        )
        SELECT server_id, steam_id_64, COUNT(*), COALESCE(SUM({until} - {since}), 0), MIN(joined_at),
            MAX(COALESCE(left_at, {_ONLINE[vendor]})), MAX(CASE WHEN left_at IS NULL THEN joined_at END),
            (
                SELECT latest.name_at_join FROM livestate_playersession latest
                WHERE latest.server_id = visit.server_id AND latest.steam_id_64 = visit.steam_id_64
                ORDER BY latest.joined_at DESC, latest.id DESC LIMIT 1
            ),
            {_NAMES[vendor]}
        FROM livestate_playersession visit
        WHERE steam_id_64 > %s AND steam_id_64 <= %s
        GROUP BY server_id, steam_id_64
        ON CONFLICT (steam_id_64, server_id) DO NOTHING
    """
    while last < _LAST_ACCOUNT:
        rest = visits.filter(steam_id_64__gt=last).values_list('steam_id_64', flat=True)
        upper = next(iter(rest[_VISITS_AT_ONCE : _VISITS_AT_ONCE + 1]), _LAST_ACCOUNT)
        with transaction.atomic(using=schema_editor.connection.alias), schema_editor.connection.cursor() as cursor:
            cursor.execute(statement, [last, upper])
        last = upper


class Migration(migrations.Migration):

    # One transaction for a million visits would hold the database of PostgreSQL and fill the log of SQLite.
    atomic = False

    dependencies = [
        ('livestate', '0009_players_of_servers'),
    ]

    operations = [migrations.RunPython(count_visits, migrations.RunPython.noop)]
