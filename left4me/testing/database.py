"""The SQLite database of each test process: a copy of one that was migrated once, because that takes ten seconds."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import django
import pytest

from left4me.core.files import atomic
from left4me.core.processes import commands

_PROJECT = Path(__file__).resolve().parents[2]
_IMPORT = re.compile(r"^(?:import|from) ([\w.]+)(?: import (\w+))?", re.MULTILINE)
_SECONDS = 300


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """Whether the database is there before Django creates it. It goes with the data directory of the process."""
    from django.db import connection

    return connection.vendor == "sqlite"


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    request: pytest.FixtureRequest, django_db_modify_db_settings_parallel_suffix: None
) -> None:
    """Lay out the migrated database, so that Django has nothing to migrate."""
    from django.conf import settings

    if not request.getfixturevalue("django_db_keepdb"):
        return
    test = settings.DATABASES["default"]["TEST"]
    shutil.copyfile(request.getfixturevalue("migrated_database"), test["NAME"])
    test["MIGRATE"] = False


@pytest.fixture(scope="session")
def migrated_database(request: pytest.FixtureRequest) -> Path:
    """A SQLite file after all migrations, to be copied. It is kept for later runs.

    The first process that wants it makes it, while the others wait.
    """
    kept = request.config.cache.mkdir("databases")
    database = kept / f"{_fingerprint()}.sqlite3"
    with (kept / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not database.exists():
            for old in kept.glob("*.sqlite3"):
                old.unlink()
            fresh = kept / "fresh.sqlite3"
            commands.run(
                [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
                timeout=_SECONDS,
                env={**os.environ, "DATABASE_URL": f"sqlite:///{fresh}", "PYTHONWARNINGS": "ignore"},
                cwd=_PROJECT,
            )
            atomic.publish(fresh, database, durable=False)
    return database


def _fingerprint() -> str:
    """A digest of what the database depends on: Django, settings, the migrations and what they import."""
    from django.apps import apps

    settings = {name: text for name, text in os.environ.items() if name.startswith("LEFT4ME_")}
    settings.pop("LEFT4ME_ROOT")
    digest = hashlib.sha256(repr((django.VERSION, sorted(settings.items()))).encode())
    migrations = [file for app in apps.get_app_configs() for file in Path(app.path).glob("migrations/*.py")]
    for file in sorted({*migrations, *_imported(migrations)}):
        digest.update(b"%a%s" % (str(file), file.read_bytes()))
    return digest.hexdigest()


def _imported(files: Iterable[Path]) -> Iterable[Path]:
    """The files of the project that these import."""
    for module, name in {found for file in files for found in _IMPORT.findall(file.read_text())}:
        for path in (_PROJECT.joinpath(*module.split(".")), _PROJECT.joinpath(*module.split("."), name)):
            yield from (file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file())
