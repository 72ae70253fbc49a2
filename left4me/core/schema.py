"""Compares the database's migrations with this release's: they differ while hosts are upgraded one by one."""

from __future__ import annotations

import functools

from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

_NAMED = 3

Key = tuple[str, str]


def mismatch() -> str:
    """The reason why this release cannot use the database, with the cure; empty when it can. Raises DatabaseError."""
    rows = MigrationRecorder.Migration.objects.using(connection.alias)
    applied: set[Key] = set(rows.values_list("app", "name"))
    known, needed = of_this_release()
    newer = sorted(key for key in applied - known if key[0] in {app for app, _name in known})
    if newer:
        return (
            f"The database is of a newer release than this host ({_listed(newer)}). It takes no jobs until it is"
            " upgraded: left4mectl upgrade"
        )
    missing = sorted(needed - applied)
    if missing:
        return (
            f"The database is of an older release than this host ({_listed(missing)} missing). It takes no jobs until"
            " the web's host is upgraded: left4mectl upgrade there"
        )
    return ""


@functools.cache
def of_this_release() -> tuple[frozenset[Key], frozenset[Key]]:
    """All migrations that this release knows, and those that it needs: all but the ones that others replace."""
    loader = MigrationLoader(None)
    replaced = {key for migration in loader.disk_migrations.values() for key in migration.replaces}
    known = frozenset(loader.disk_migrations)
    return known | frozenset(replaced), known - frozenset(replaced)


def _listed(keys: list[Key]) -> str:
    named = ", ".join(f"{app}.{name}" for app, name in keys[:_NAMED])
    return named if len(keys) <= _NAMED else f"{named} and {len(keys) - _NAMED} more"
