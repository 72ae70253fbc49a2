"""The database of each test process is a copy of one that was migrated for all. SQLite's is put back after tests.

Tests that use it get the marker `database`, so that CI runs all others once instead of on SQLite and on PostgreSQL.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import django
import pytest
import pytest_django

from left4me.core.files import atomic
from left4me.core.processes import commands

_PROJECT = Path(__file__).resolve().parents[2]
_IMPORT = re.compile(r"^(?:import|from) ([\w.]+)(?: import (\w+))?", re.MULTILINE)
_SECONDS = 300
_LOCKED_SECONDS = 20
_TEMPLATE = "left4me_migrated_"
# Without one of these, or the marker `django_db`, pytest-django refuses a test the database.
_FIXTURES = {"db", "transactional_db", "django_db_reset_sequences", "django_db_serialized_rollback", "live_server"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that use the database, before `-m` selects by markers."""
    for item in items:
        if item.get_closest_marker("django_db") or not _FIXTURES.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker("database")


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

    test = settings.DATABASES["default"]["TEST"]
    if request.getfixturevalue("django_db_keepdb"):
        shutil.copyfile(request.getfixturevalue("migrated_database"), test["NAME"])
    else:
        test["TEMPLATE"] = request.getfixturevalue("migrated_template")
    test["MIGRATE"] = False


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: pytest_django.DjangoDbBlocker) -> Iterator[None]:
    """After a test that commits, put back the rows that migrations left.

    Django empties every table and fills some again, which takes longer than most tests.
    """
    from django.db import connection
    from django.test import TransactionTestCase

    if connection.vendor != "sqlite":
        yield
        return
    with django_db_blocker.unblock():
        rows = _Rows(str(connection.settings_dict["NAME"]), connection.introspection.django_table_names())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda case: rows.put_back())
        yield


class _Rows:
    """What all tables of models hold at first.

    It has a connection of its own: what a test does to Django's, or left open in it, is without effect, and SQLite
    checks no foreign keys unless it is asked to.
    """

    def __init__(self, database: str, tables: Iterable[str]) -> None:
        self._database = database
        with self._connection() as connection:
            self._kept = {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables}  # noqa: S608
        self._with_rows = " UNION ALL ".join(
            f"SELECT '{table}' WHERE EXISTS (SELECT 1 FROM {table})"  # noqa: S608
            for table, rows in self._kept.items()
            if not rows
        )

    def _connection(self) -> closing[sqlite3.Connection]:
        return closing(sqlite3.connect(self._database, timeout=_LOCKED_SECONDS, isolation_level=None))

    def put_back(self) -> None:
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            for (table,) in connection.execute(self._with_rows).fetchall():
                connection.execute(f"DELETE FROM {table}")  # noqa: S608
            for table, rows in self._kept.items():
                if rows and rows != connection.execute(f"SELECT * FROM {table}").fetchall():  # noqa: S608
                    connection.execute(f"DELETE FROM {table}")  # noqa: S608
                    values = ", ".join("?" * len(rows[0]))
                    connection.executemany(f"INSERT INTO {table} VALUES ({values})", rows)  # noqa: S608
            connection.execute("COMMIT")


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
            _migrate(f"sqlite:///{fresh}")
            atomic.publish(fresh, database, durable=False)
    return database


@pytest.fixture(scope="session")
def migrated_template(request: pytest.FixtureRequest) -> str:
    """The name of a PostgreSQL database after all migrations, of which new ones are copies. Its server keeps it."""
    import psycopg

    server = os.environ["DATABASE_URL"]
    name = f"{_TEMPLATE}{_fingerprint()[:16]}"
    with (request.config.cache.mkdir("databases") / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with psycopg.connect(server, autocommit=True) as connection:
            found = connection.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [_TEMPLATE])
            old = [database for (database,) in found]
            if name not in old:
                for database in old:
                    connection.execute(f'DROP DATABASE "{database}"')
                fresh = f"{_TEMPLATE}fresh"
                connection.execute(f'CREATE DATABASE "{fresh}"')
                _migrate(urlsplit(server)._replace(path=f"/{fresh}").geturl())
                connection.execute(f'ALTER DATABASE "{fresh}" RENAME TO "{name}"')
    return name


def _migrate(url: str) -> None:
    commands.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
        timeout=_SECONDS,
        env={**os.environ, "DATABASE_URL": url, "PYTHONWARNINGS": "ignore"},
        cwd=_PROJECT,
    )


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
