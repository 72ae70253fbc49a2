"""Copies of the application's database: made while it is in use, and put back as a whole.

This module does not use Django, because `left4mectl` must work when the application does not.

Root never opens a SQLite file of the application: its content can make SQLite delete or write files that it names.
A child process with the rights of the application does that, and root handles bytes only.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Protocol, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from deploy.language import gettext as _
from left4me.core.files import atomic, walk
from left4me.core.processes import commands, identity

T = TypeVar("T")

_SECONDS: Final = 6 * 3600
_CHUNK: Final = 1024 * 1024
_BESIDE: Final = ".copy-"
_APPLIED: Final = "SELECT app || '.' || name FROM django_migrations ORDER BY 1"


class DatabaseFault(Exception):
    """The database cannot be read or put back; the message contains the reason and the cure."""


class Database(Protocol):
    """What backups, restores and upgrades need of a database. Every method raises DatabaseFault."""

    kind: str

    def size(self) -> int:
        """The approximate upper limit of a copy's size, in bytes."""

    def copy_to(self, target: Path, *, check: bool = True) -> None:
        """Write a consistent copy and sync it to disk, without blocking writers. `check` looks for damage first."""

    def put_back(self, copy: Path) -> None:
        """Replace the content of the database by `copy`, all or nothing. The application must be stopped."""

    def migrations(self) -> list[str]:
        """The applied migrations as `app.name`; empty for a database that was never used."""


def from_environment(values: Mapping[str, str], *, data: Path) -> Database:
    """The database that the settings `values` name. Without DATABASE_URL it is a SQLite file in `data`."""
    url = values.get("DATABASE_URL", "")
    if not url:
        return Sqlite(data / "left4me.sqlite3", data)
    split = urlsplit(url)
    if split.scheme == "sqlite":
        return Sqlite(Path("/", unquote(split.path).lstrip("/")), data)
    if split.scheme in {"postgres", "postgresql", "psql", "pgsql"}:
        return Postgres(connection_of(url), data)
    raise DatabaseFault(_("DATABASE_URL must start with sqlite:// or postgres://."))


@dataclass
class Sqlite:
    """A file that belongs to the owner of the directory `data`, with whose rights it is opened."""

    path: Path
    data: Path
    kind: str = "sqlite"

    def size(self) -> int:
        files = (self.path, self.path.with_name(self.path.name + "-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def copy_to(self, target: Path, *, check: bool = True) -> None:
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            self._as_owner(lambda: _write_copy(self.path, handle, check=check), handle)
            os.fsync(handle)
        except BaseException:
            target.unlink()
            raise
        finally:
            os.close(handle)
        atomic.sync(target.parent)

    def put_back(self, copy: Path) -> None:
        with walk.open_file(copy) as source:
            self._as_owner(lambda: _replace(self.path, source), source.fileno())

    def migrations(self) -> list[str]:
        return self._as_owner(lambda: _applied(self.path))

    def _as_owner(self, function: Callable[[], T], *keep: int) -> T:
        try:
            return identity.run_as(_owner(self.data), function, keep=keep, raises=(DatabaseFault,))
        except OSError as error:
            raise DatabaseFault(
                _("%(path)s cannot be read or written: %(error)s") % {"path": self.path, "error": error}
            ) from error


def _owner(data: Path) -> identity.Identity:
    """The user of the application; root where there is no application yet."""
    return identity.of_owner(data if data.exists() else Path("/"))


def _write_copy(path: Path, handle: int, *, check: bool) -> None:
    """Write a copy of the database at `path` to the descriptor. SQLite needs a path, so it first writes beside it."""
    for left in path.parent.glob(f"{_BESIDE}*"):
        # Of a process that was killed.
        if time.time() - left.lstat().st_mtime > _SECONDS:
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_BESIDE, dir=path.parent) as beside:
        try:
            with closing(_open(path)) as ours, closing(sqlite3.connect(Path(beside, "copy"))) as copy:
                # All pages in one step: copied in several, every write in between would start the copy again. With
                # the write-ahead log this blocks no writer.
                ours.backup(copy)
                if check and (verdict := copy.execute("PRAGMA quick_check").fetchone()[0]) != "ok":
                    raise DatabaseFault(
                        _("%(path)s is damaged: %(verdict)s. Restore the last backup before this one.")
                        % {"path": path, "verdict": verdict}
                    )
                # The copy is one file, without a log beside it.
                copy.execute("PRAGMA journal_mode=DELETE")
        except sqlite3.Error as error:
            raise DatabaseFault(_("Could not copy %(path)s: %(error)s") % {"path": path, "error": error}) from error
        with Path(beside, "copy").open("rb") as source, os.fdopen(os.dup(handle), "wb") as target:
            shutil.copyfileobj(source, target, _CHUNK)


def _replace(path: Path, source: BinaryIO) -> None:
    with atomic.replacing(path, mode=0o600, durable=True) as target:
        shutil.copyfileobj(source, target, _CHUNK)
        target.flush()
        os.fsync(target.fileno())
        # SQLite would apply the old file's log to the new file.
        for suffix in ("-wal", "-shm", "-journal"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)


def _applied(path: Path) -> list[str]:
    if not path.exists():
        return []
    try:
        with closing(_open(path)) as ours:
            return [name for (name,) in ours.execute(_APPLIED)]
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return []
        raise DatabaseFault(_("Could not read %(path)s: %(error)s") % {"path": path, "error": error}) from error
    except sqlite3.Error as error:
        raise DatabaseFault(_("Could not read %(path)s: %(error)s") % {"path": path, "error": error}) from error


def _open(path: Path) -> sqlite3.Connection:
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise DatabaseFault(_("%(path)s is not a regular file.") % {"path": path})
    except FileNotFoundError:
        raise DatabaseFault(_("%(path)s does not exist.") % {"path": path}) from None
    return sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=30)


@dataclass
class Postgres:
    """Uses PostgreSQL's own programs. The password is in their environment, which other users cannot read."""

    connection: dict[str, str]
    data: Path
    kind: str = "postgres"

    def size(self) -> int:
        return int(self._query("SELECT pg_database_size(current_database())")[0])

    def copy_to(self, target: Path, *, check: bool = True) -> None:
        # pg_dump reads one snapshot, taken when it starts.
        self._run(["pg_dump", "--format=custom", "--compress=1", "--no-owner", f"--file={target}"])
        target.chmod(0o600)
        atomic.sync(target)

    def put_back(self, copy: Path) -> None:
        script = copy.with_name(copy.name + ".sql")
        try:
            try:
                self._put_back(copy, script)
            except DatabaseFault as fault:
                # The copy grants rights to worker hosts whose roles do not exist on this server.
                if "role" not in str(fault) or "does not exist" not in str(fault):
                    raise
                self._put_back(copy, script, "--no-privileges")
        finally:
            script.unlink(missing_ok=True)

    def _put_back(self, copy: Path, script: Path, *options: str) -> None:
        self._run(["pg_restore", "--no-owner", *options, f"--file={script}", copy])
        script.chmod(0o600)
        # In one transaction, so that a failure leaves the old content. The schema is dropped because it may hold
        # tables of a newer release, whose migrations could not create them a second time.
        fresh = "SET client_min_messages = warning; DROP SCHEMA public CASCADE; CREATE SCHEMA public"
        with walk.open_file(script) as statements:
            self._run(
                [
                    *("psql", "--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1"),
                    *(f"--command={fresh}", "--file=-", "--output=/dev/null"),
                ],
                stdin=statements,
                # Names in the database can become commands of psql, which start programs.
                user=_owner(self.data),
            )

    def migrations(self) -> list[str]:
        if self._query("SELECT to_regclass('django_migrations') IS NOT NULL") != ["t"]:
            return []
        return self._query(_APPLIED)

    def _query(self, sql: str) -> list[str]:
        argv = ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", f"--command={sql}"]
        return [line for line in self._run(argv).splitlines() if line]

    def _run(
        self, argv: Sequence[str | Path], *, stdin: BinaryIO | None = None, user: identity.Identity | None = None
    ) -> str:
        environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8", **self.connection}
        try:
            # The directory of root may be closed to other users.
            return commands.run(
                argv, timeout=_SECONDS, env=environment, stdin=stdin, identity=user, cwd=Path("/")
            ).output
        except commands.CommandMissing as error:
            raise DatabaseFault(_("%(error)s. Run `apt-get install postgresql-client`.") % {"error": error}) from error
        except commands.CommandError as error:
            raise DatabaseFault(str(error)) from error


def connection_of(url: str) -> dict[str, str]:
    """The variables that PostgreSQL's programs read, for a DATABASE_URL."""
    split = urlsplit(url)
    # Not `split.hostname`, which is lower case: `%2Frun%2Fpostgresql` is the directory of a socket.
    address = split.netloc.rpartition("@")[2]
    host, _colon, port = address.rpartition(":") if address.rpartition(":")[2].isdecimal() else (address, "", "")
    variables = {
        "PGHOST": unquote(host).strip("[]"),
        "PGPORT": port,
        "PGUSER": unquote(split.username or ""),
        "PGPASSWORD": unquote(split.password or ""),
        "PGDATABASE": unquote(split.path.lstrip("/")),
        "PGCONNECT_TIMEOUT": "10",
    }
    options = {"sslmode", "sslrootcert", "sslcert", "sslkey"}
    variables |= {f"PG{key.upper()}": value for key, value in parse_qsl(split.query) if key in options}
    return {key: value for key, value in variables.items() if value}
