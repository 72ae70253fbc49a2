"""Prepares the start of bin/up: reads the settings, migrates the database, collects static files, adds demo data.

Runs in processes of its own: the supervisor's forks must not inherit the connections that it opens.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from deploy.ops import application
from deploy.ops.database.copies import Sqlite
from left4me.core.processes import libraries

KEPT_COPIES = 5
_STAMP = ".source"
_PREPARED = "prepared"
# Says which static files are joined.
_BUNDLES = "bundles.py"
_LEFT4ME = Path(__file__).resolve().parents[2] / "left4me"


def main(arguments: list[str]) -> int:
    """Prepare the start, with the demo's data if `--demo` is given; returns the exit status."""
    import django
    from django.core.management import call_command

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "left4me.settings")
    django.setup()
    from django.conf import settings
    from django.utils import timezone

    # As they are before: what changes meanwhile is prepared by the next start.
    sources = _sources_digest(settings)
    migrate(settings.DATABASES["default"], copies=settings.LEFT4ME_ROOT / "backups", stamp=timezone.now())
    collect_static(settings)
    with contextlib.suppress(OSError):
        (settings.LEFT4ME_ROOT / _PREPARED).write_text(sources + _results_digest(settings))
    if "--demo" in arguments:
        call_command("seed_demo")
    return 0


def plan() -> dict[str, Any]:
    """The settings that bin/up needs. Raises Misconfigured."""
    from left4me import settings

    found = {
        "host": settings.LEFT4ME_BIND.host,
        "port": settings.LEFT4ME_BIND.port,
        "address": f"http://{settings.LEFT4ME_BIND.here}",
        # Other names are answered with 400.
        "known_as": application.known_host({"LEFT4ME_ALLOWED_HOSTS": ",".join(settings.ALLOWED_HOSTS)}),
        "broker_is_ours": not settings.env.text("REDIS_URL"),
        "is_prepared": is_prepared(settings),
        "hint": "",
    }
    if settings.LEFT4ME_GAME == "steam" and (missing := libraries.missing()):
        found["hint"] = (
            f"the game needs 32-bit libraries ({', '.join(missing)}): sudo {libraries.install_command(missing)}"
        )
    return found


def is_prepared(settings: Any) -> bool:
    """Whether an earlier start has prepared all that there is now. Does not load Django to find that out."""
    prepared, results = settings.LEFT4ME_ROOT / _PREPARED, _results_digest(settings)
    return bool(results) and prepared.is_file() and prepared.read_text() == _sources_digest(settings) + results


def _sources_digest(settings: Any) -> str:
    """Of all packages, migrations and static files."""
    digest = hashlib.sha256((settings.BASE_DIR / "requirements.txt").read_bytes())
    for path in _sources(settings):
        stat = path.stat()
        digest.update(f"{path} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _sources(settings: Any) -> Iterator[Path]:
    for package in sorted({app.partition(".")[0] for app in settings.INSTALLED_APPS}):
        for folder, folders, names in os.walk(settings.BASE_DIR / package):
            folders.sort()
            if not {"migrations", "static"} & set(Path(folder).parts):
                names = [name for name in names if name == _BUNDLES]
            yield from (Path(folder, name) for name in sorted(names) if not name.endswith(".pyc"))


def _results_digest(settings: Any) -> str:
    """Of the migrations that are applied and the static files that are collected; empty if only Django can tell."""
    database, collected = settings.DATABASES["default"], Path(settings.STATIC_ROOT) / _STAMP
    if not database["ENGINE"].endswith("sqlite") or not collected.is_file():
        return ""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(database['NAME']))}?mode=ro", uri=True)) as rows:
            applied = rows.execute("SELECT app, name FROM django_migrations ORDER BY id").fetchall()
    except sqlite3.Error:
        return ""
    return hashlib.sha256(
        repr((database["NAME"], applied, str(collected), collected.read_text())).encode()
    ).hexdigest()


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
    digest.update((_LEFT4ME / "site" / _BUNDLES).read_bytes())
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
