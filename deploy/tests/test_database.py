import contextlib
import os
import shlex
import signal
import sqlite3
import struct
import subprocess
import sys
import time
from contextlib import closing

import pytest

from deploy.ops.database import copies
from left4me.core.processes import identity

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a database is put back by root")

SCHEMA = """
CREATE TABLE django_migrations (app varchar(50), name varchar(50));
INSERT INTO django_migrations VALUES ('servers', '0001_servers'), ('accounts', '0001_users');
CREATE TABLE account (name varchar(20), amount integer CHECK (JSON_VALID(amount)));
INSERT INTO account VALUES ('a', 1000), ('b', 0);
"""
# Moves money for as long as it lives; the sum never changes.
WRITER = """
import sys
for number in range(10**9):
    one, other = ("a", "b") if number % 2 else ("b", "a")
    sys.stdout.write(
        f"BEGIN; UPDATE account SET amount = amount - 7 WHERE name = '{one}';"
        f" UPDATE account SET amount = amount + 7 WHERE name = '{other}'; COMMIT;\\n"
    )
"""
SQLITE_WRITER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
for number in range(10**9):
    db.execute("BEGIN IMMEDIATE")
    db.execute("UPDATE account SET amount = amount - 7 WHERE name = ?", ("ab"[number % 2],))
    db.execute("UPDATE account SET amount = amount + 7 WHERE name = ?", ("ba"[number % 2],))
    db.execute("COMMIT")
"""


class OnSqlite:
    def __init__(self, folder):
        self.path = folder / "left4me.sqlite3"
        self.values = {"DATABASE_URL": f"sqlite:///{self.path}"}
        with closing(sqlite3.connect(self.path)) as db:
            db.execute("PRAGMA journal_mode=WAL")
            db.executescript(SCHEMA)

    def run(self, sql):
        with closing(sqlite3.connect(self.path, timeout=30)) as db:
            rows = db.execute(sql).fetchall()
            db.commit()
        return rows

    def writer(self):
        return subprocess.Popen([sys.executable, "-c", SQLITE_WRITER, self.path], start_new_session=True)


class OnPostgres:
    def __init__(self, folder):
        del folder
        server = os.environ["DATABASE_URL"]
        self.values = {"DATABASE_URL": f"{server.rpartition('/')[0]}/deploy_{os.getpid()}"}
        self.environment = {**os.environ, **copies.connection_of(self.values["DATABASE_URL"])}
        whole = {**os.environ, **copies.connection_of(server)}
        for sql in ("DROP DATABASE IF EXISTS {}", "CREATE DATABASE {}"):
            subprocess.run(["psql", "-qc", sql.format(self.environment["PGDATABASE"])], env=whole, check=True)
        self.run(SCHEMA.replace(" CHECK (JSON_VALID(amount))", ""))

    def run(self, sql):
        argv = ["psql", "-qtA", "-v", "ON_ERROR_STOP=1", "-c", sql]
        out = subprocess.run(argv, env=self.environment, check=True, capture_output=True, text=True).stdout
        return [tuple(int(v) if v.lstrip("-").isdigit() else v for v in line.split("|")) for line in out.splitlines()]

    def writer(self):
        pipe = f"{shlex.join([sys.executable, '-c', WRITER])} | psql -q"
        return subprocess.Popen(["bash", "-c", pipe], env=self.environment, start_new_session=True)


needs_postgres = pytest.mark.skipif(
    not os.environ.get("DATABASE_URL", "").startswith("postgres"), reason="bin/test --postgres"
)


@pytest.fixture(params=[OnSqlite, pytest.param(OnPostgres, marks=needs_postgres)])
def place(request, tmp_path):
    (tmp_path / "data").mkdir()
    return request.param(tmp_path / "data")


@pytest.fixture
def ours(place, tmp_path):
    return copies.from_environment(place.values, data=tmp_path)


def test_a_copy_is_of_one_moment_whoever_writes_meanwhile(place, ours, tmp_path):
    writer = place.writer()
    try:
        while place.run("SELECT amount FROM account WHERE name = 'b'") == [(0,)]:
            time.sleep(0.01)
        for number in range(5):
            ours.copy_to(tmp_path / f"copy{number}")
            assert (tmp_path / f"copy{number}").stat().st_mode & 0o777 == 0o600
            assert writer.poll() is None
    finally:
        os.killpg(writer.pid, signal.SIGKILL)
        writer.wait()
    for number in range(5):
        ours.put_back(tmp_path / f"copy{number}")
        assert place.run("SELECT sum(amount) FROM account") == [(1000,)]


def test_what_is_put_back_is_all_there_is(place, ours, tmp_path):
    """Also tables that only a newer release knows go: its migrations could not make them a second time."""
    ours.copy_to(tmp_path / "copy")
    place.run("CREATE TABLE newer (id integer)")
    place.run("UPDATE account SET amount = 5")
    ours.put_back(tmp_path / "copy")
    assert place.run("SELECT name, amount FROM account ORDER BY name") == [("a", 1000), ("b", 0)]
    place.run("CREATE TABLE newer (id integer)")


def test_migrations_are_named_in_order_also_of_an_empty_database(place, ours):
    assert ours.migrations() == ["accounts.0001_users", "servers.0001_servers"]
    place.run("DROP TABLE django_migrations")
    assert ours.migrations() == []
    assert ours.size() > 0


@needs_postgres
def test_a_damaged_copy_changes_nothing(tmp_path):
    """Of SQLite the backup's checksum says it, before anything is put back."""
    place = OnPostgres(tmp_path)
    ours = copies.from_environment(place.values, data=tmp_path)
    ours.copy_to(tmp_path / "copy")
    with (tmp_path / "copy").open("r+b") as file:
        file.truncate(600)
    with pytest.raises(copies.DatabaseFault):
        ours.put_back(tmp_path / "copy")
    assert place.run("SELECT sum(amount) FROM account") == [(1000,)]


def test_a_damaged_database_is_not_taken_for_a_backup(tmp_path):
    place = OnSqlite(tmp_path)
    place.run("CREATE TABLE filler (text varchar)")
    place.run(
        "INSERT INTO filler WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 5000)"
        " SELECT hex(randomblob(50)) FROM n"
    )
    place.run("PRAGMA wal_checkpoint(TRUNCATE)")
    with place.path.open("r+b") as file:
        file.seek(200_000)
        file.write(b"\xff" * 4096)
    with pytest.raises(copies.DatabaseFault, match="damaged"):
        copies.from_environment(place.values, data=tmp_path).copy_to(tmp_path / "copy")


def test_a_link_in_the_place_of_the_database_is_not_followed(tmp_path):
    (tmp_path / "left4me.sqlite3").symlink_to("/etc/passwd")
    with pytest.raises(copies.DatabaseFault, match="regular"):
        copies.from_environment({}, data=tmp_path).copy_to(tmp_path / "copy")


APPLICATION = identity.Identity(64123, 64123, groups=())


def hot_journal(super_journal):
    """A rollback journal without pages that names a super-journal, which SQLite deletes once it is played back."""
    name = os.fsencode(super_journal)
    header = bytes.fromhex("d9d505f920a163d7") + struct.pack(">5I", 0, 0, 3, 512, 4096)
    # The page that holds the lock, the name, its length and its checksum, and the magic once more.
    record = struct.pack(">I", 2**30 // 4096 + 1) + name + struct.pack(">II", len(name), sum(name)) + header[:8]
    return header.ljust(512, b"\0") + record


@pytest.fixture
def planted(open_path):
    """The data directory of an application that was taken over, and its database."""
    data = open_path / "data"
    data.mkdir(mode=0o750)
    path = data / "left4me.sqlite3"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(SCHEMA)
    for made in (data, path):
        os.chown(made, APPLICATION.uid, APPLICATION.gid)
    return path


@pytest.mark.parametrize("use", ["migrations", "copy_to"])
def test_a_journal_that_the_application_planted_deletes_no_file_of_root(planted, tmp_path, use):
    victim = tmp_path / "only root can remove this"
    victim.write_text("kept")
    planted.with_name("left4me.sqlite3-journal").write_bytes(hot_journal(victim))
    os.chown(planted.with_name("left4me.sqlite3-journal"), APPLICATION.uid, APPLICATION.gid)
    ours = copies.from_environment({}, data=planted.parent)
    with contextlib.suppress(copies.DatabaseFault):
        getattr(ours, use)(*([tmp_path / "copy"] if use == "copy_to" else []))
    assert victim.exists()


def test_the_application_s_database_is_copied_and_put_back_with_its_rights(planted, tmp_path):
    ours = copies.from_environment({}, data=planted.parent)
    assert ours.migrations() == ["accounts.0001_users", "servers.0001_servers"]
    ours.copy_to(tmp_path / "copy")
    assert ((tmp_path / "copy").stat().st_uid, (tmp_path / "copy").stat().st_mode & 0o777) == (0, 0o600)
    planted.unlink()
    # What root would write through, to a directory that the application cannot enter.
    planted.symlink_to(tmp_path / "elsewhere")
    ours.put_back(tmp_path / "copy")
    assert not (tmp_path / "elsewhere").exists()
    assert (planted.lstat().st_uid, planted.lstat().st_mode & 0o777) == (APPLICATION.uid, 0o600)
    assert ours.migrations() == ["accounts.0001_users", "servers.0001_servers"]
    assert [path.name for path in planted.parent.iterdir()] == [planted.name]


def test_a_copy_that_failed_leaves_nothing_behind(planted, tmp_path):
    planted.write_bytes(b"no database" * 1000)
    with pytest.raises(copies.DatabaseFault, match="not a database"):
        copies.from_environment({}, data=planted.parent).copy_to(tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []
    assert [path.name for path in planted.parent.iterdir()] == [planted.name]


@pytest.mark.parametrize(
    ("url", "connection"),
    [
        (
            "postgres://me:a%40b@db.example:5433/left4me?sslmode=verify-full",
            {
                "PGHOST": "db.example",
                "PGPORT": "5433",
                "PGUSER": "me",
                "PGPASSWORD": "a@b",
                "PGDATABASE": "left4me",
                "PGSSLMODE": "verify-full",
            },
        ),
        ("postgres://me@%2Frun%2FPostgreSQL/x", {"PGHOST": "/run/PostgreSQL", "PGUSER": "me", "PGDATABASE": "x"}),
        ("postgres:///x", {"PGDATABASE": "x"}),
    ],
)
def test_a_url_says_how_to_reach_postgresql(url, connection, tmp_path):
    found = copies.from_environment({"DATABASE_URL": url}, data=tmp_path).connection
    assert {key: value for key, value in found.items() if key != "PGCONNECT_TIMEOUT"} == connection


def test_sqlite_stands_in_the_data_or_where_a_url_says(tmp_path):
    assert copies.from_environment({}, data=tmp_path).path == tmp_path / "left4me.sqlite3"
    values = {"DATABASE_URL": "sqlite:////srv/a%20b.sqlite3"}
    assert str(copies.from_environment(values, data=tmp_path).path) == "/srv/a b.sqlite3"
