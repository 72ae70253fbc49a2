"""Prepares the start of bin/up: reads the settings, migrates the database, collects static files, adds demo data.

Runs in processes of its own, so that the supervisor, which lives as long as bin/up, needs no Django in its memory.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from deploy.ops import application
from deploy.ops.database.copies import Sqlite
from left4me.core.env import Misconfigured
from left4me.core.processes import libraries

KEPT_COPIES = 5
_STAMP = ".source"
_EX_CONFIG = 78


def main(arguments: list[str]) -> int:
    """Print the plan with `--plan`, else prepare the start; returns the exit status."""
    if "--plan" in arguments:
        return print_plan()
    import django
    from django.core.management import call_command

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "left4me.settings")
    django.setup()
    from django.conf import settings
    from django.utils import timezone

    migrate(settings.DATABASES["default"], copies=settings.LEFT4ME_ROOT / "backups", stamp=timezone.now())
    collect_static(settings)
    if settings.LEFT4ME_GAME == "steam" and (missing := libraries.missing()):
        say(f"the game needs 32-bit libraries ({', '.join(missing)}): sudo {libraries.install_command(missing)}")
    if "--demo" in arguments:
        call_command("seed_demo")
    return 0


def print_plan() -> int:
    """Print the settings that bin/up needs as JSON. An invalid setting is one sentence and exit status 78."""
    try:
        from left4me import settings
    except Misconfigured as fault:
        sys.stderr.write(f"left4me: {fault}\n")
        return _EX_CONFIG
    plan = {
        "host": settings.LEFT4ME_BIND.host,
        "port": settings.LEFT4ME_BIND.port,
        "address": f"http://{settings.LEFT4ME_BIND.here}",
        # Other names are answered with 400.
        "known_as": application.known_host({"LEFT4ME_ALLOWED_HOSTS": ",".join(settings.ALLOWED_HOSTS)}),
        "broker_is_ours": not settings.env.text("REDIS_URL"),
    }
    say(json.dumps(plan))
    return 0


def migrate(database: dict[str, Any], *, copies: Path, stamp: Any) -> None:
    """Migrate the database to this version. A SQLite file with data is copied to `copies` first."""
    from django.core.management import call_command
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connection)
    pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if not pending:
        return
    path = Path(database["NAME"])
    if connection.vendor == "sqlite" and executor.loader.applied_migrations and path.is_file():
        copy = copies / f"before-migration-{stamp:%Y%m%d-%H%M%S}.sqlite3"
        _keep_copy(path, copy)
        say(f"copied the database to {copy} before the migration")
    say(f"applying {len(pending)} migrations")
    call_command("migrate", verbosity=0, interactive=False)


def _keep_copy(source: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, exist_ok=True)
    Sqlite(source, source.parent).copy_to(target, check=False)
    for stale in sorted(target.parent.glob("before-migration-*.sqlite3"))[:-KEPT_COPIES]:
        stale.unlink()


def collect_static(settings: Any) -> None:
    """Collect and compress static files if any of them has changed since the last time."""
    from django.core.management import call_command

    root = Path(settings.STATIC_ROOT)
    if is_collected(root):
        return
    say("collecting static files")
    call_command("collectstatic", verbosity=0, interactive=False, clear=True)
    (root / _STAMP).write_text(_static_digest())


def is_collected(root: Path) -> bool:
    """Whether the directory has what is collected from the static files as they are now."""
    stamp = root / _STAMP
    return stamp.is_file() and stamp.read_text() == _static_digest()


def _static_digest() -> str:
    import django
    from django.contrib.staticfiles.finders import get_finders

    digest = hashlib.sha256(django.__version__.encode())
    for finder in get_finders():
        for path, storage in finder.list([]):
            stat = Path(storage.path(path)).stat()
            digest.update(f"{path} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
