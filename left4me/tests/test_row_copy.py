"""`manage.py copy_database`: every row, every key, and a comparison that notices what is wrong."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
from django.conf import settings
from django.db import connection

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# Rows of the kinds of columns that the databases store differently: times, JSON, booleans, bytes, encrypted texts.
FILL = """
from datetime import datetime, UTC
from accounts.models import User
from left4me.audit import record
from livestate.models import *
from servers.models import *
owner = User.objects.create_user("Änna", "a long passphrase", is_admin=True)
seen = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
host = Host.objects.create(name="two", facts={"z": [1, 2.5, None], "a": {"ü": True}}, last_seen_at=seen)
blueprint = Blueprint.objects.create(owner=owner, name="co-op", arguments=["+map c1m1_hotel"], config=['hostname "x"'])
for number in range(5):
    server = Server(owner=owner, host=host, blueprint=blueprint, name=f"server {number}", port=27015 + number)
    server.rcon_password = "secret"
    server.save()
record.write(action="server.create", by=owner, target=server.resource, name="x")
server.delete()
"""
SHOW = """
import json
from accounts.models import User
from left4me.audit.models import AuditEntry
from servers.models import *
rows = [list(model.objects.order_by("pk").values()) for model in (User, Host, Blueprint, Server, AuditEntry)]
print(json.dumps(rows, default=str, sort_keys=True))
"""
NEXT = """
from accounts.models import User
from servers.models import *
made = {"owner": User.objects.get(), "host": Host.objects.get(name="two"), "blueprint": Blueprint.objects.get()}
print(Server.objects.create(name="next", port=28000, **made).pk)
"""


def _manage(url: str, *words: str, fails: bool = False) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=settings.BASE_DIR,
        env={**os.environ, "DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout + done.stderr


def _url(path: Path | str) -> str:
    return f"sqlite:///{path}"


def _shell(url: str, script: str) -> str:
    return _manage(url, "shell", "-v0", "-c", script).strip()


@pytest.fixture(scope="module")
def source(migrated_database: Path, tmp_path_factory) -> str:
    path = Path(shutil.copy(migrated_database, tmp_path_factory.mktemp("source") / "rows.sqlite3"))
    _shell(_url(path), FILL)
    return _url(path)


@pytest.fixture
def target(migrated_database: Path, tmp_path: Path, django_db_setup: None, django_db_blocker) -> Iterator[str]:
    """An empty database of the kind that the tests run on, with its tables."""
    # With the test database set up: a connection that is opened before would stay one to the database of DATABASE_URL.
    if connection.vendor != "postgresql":
        yield _url(shutil.copy(migrated_database, tmp_path / "copy.sqlite3"))
        return
    name, known = f"copy_{os.getpid()}", connection.settings_dict
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
        user, password, host = (quote(str(known[key]), safe="") for key in ("USER", "PASSWORD", "HOST"))
        url = f"postgres://{user}:{password}@{host}:{known['PORT']}/{name}"
        _manage(url, "migrate", "-v0")
        yield url
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_all_rows_and_the_next_key_are_the_same_in_the_other_database(source: str, target: str):
    said = _manage(target, "copy_database", source)
    assert "both databases have the same content" in said
    assert json.loads(_shell(target, SHOW)) == json.loads(_shell(source, SHOW))
    # The fifth server was deleted: its key is not given again, because restored servers get their old one.
    assert _shell(target, NEXT) == "6"


def test_a_copy_that_differs_is_noticed_and_not_kept(source: str, migrated_database: Path, tmp_path: Path):
    target = Path(shutil.copy(migrated_database, tmp_path / "spoiled.sqlite3"))
    with closing(sqlite3.connect(target)) as database:
        database.execute(
            "CREATE TRIGGER spoil AFTER INSERT ON servers_host BEGIN "
            "UPDATE servers_host SET address = 'elsewhere' WHERE id = NEW.id; END"
        )
        database.commit()
    said = _manage(_url(target), "copy_database", source, fails=True)
    assert "servers_host differs after the copy: 2 rows were read, 2 were written." in said
    with closing(sqlite3.connect(target)) as database:
        assert database.execute("SELECT count(*) FROM accounts_user").fetchone() == (0,)


def test_databases_of_different_releases_are_refused(source: str, migrated_database: Path, tmp_path: Path):
    target = Path(shutil.copy(migrated_database, tmp_path / "newer.sqlite3"))
    with closing(sqlite3.connect(target)) as database:
        database.execute(
            "INSERT INTO django_migrations (app, name, applied) VALUES ('servers', '9999_new', '2026-01-01')"
        )
        database.commit()
    said = _manage(_url(target), "copy_database", source, fails=True)
    assert "servers.9999_new" in said and "manage.py migrate" in said
    assert "Name the database to copy from" in _manage(_url(target), "copy_database", fails=True)
