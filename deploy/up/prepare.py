"""What must be true before the application starts: the database at this version, static files collected, demo data.

Runs as a process of its own, so that the supervisor stays small.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import django
from django.core.management import call_command

from deploy.ops.database.copies import Sqlite

_KEPT_COPIES = 5


def main(arguments: list[str]) -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "left4me.settings")
    django.setup()
    from django.conf import settings
    from django.utils import timezone

    migrate(settings.DATABASES["default"], copies=settings.LEFT4ME_ROOT / "backups", stamp=timezone.now())
    collect_static(settings)
    if "--demo" in arguments:
        call_command("seed_demo")
    return 0


def migrate(database: dict[str, Any], *, copies: Path, stamp: Any) -> None:
    """Bring the schema to this version; a SQLite file that changes is copied to `copies` first."""
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
        say(f"copied the database to {copy} before changing it")
    say(f"applying {len(pending)} migrations")
    call_command("migrate", verbosity=0, interactive=False)


def _keep_copy(source: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, exist_ok=True)
    Sqlite(source).copy_to(target, check=False)
    for stale in sorted(target.parent.glob("before-migration-*.sqlite3"))[:-_KEPT_COPIES]:
        stale.unlink()


def collect_static(settings: Any) -> None:
    """Collect and compress static files when any of them changed since the last time."""
    root = Path(settings.STATIC_ROOT)
    stamp = root / ".source"
    digest = _static_digest()
    if stamp.is_file() and stamp.read_text() == digest:
        return
    say("collecting static files")
    call_command("collectstatic", verbosity=0, interactive=False, clear=True)
    stamp.write_text(digest)


def _static_digest() -> str:
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
