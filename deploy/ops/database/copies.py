"""The application's database from outside of the application: copied while it is written to, put back as a whole.

Knows no Django: `left4mectl` must work when the application does not.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

from left4me.core.files import atomic
from left4me.core.processes import commands

_SECONDS: Final = 6 * 3600
_APPLIED: Final = "SELECT app || '.' || name FROM django_migrations ORDER BY 1"


class DatabaseFault(Exception):
    """The database cannot be read or put back; the message says why and what to do."""


class Database(Protocol):
    kind: str

    def size(self) -> int:
        """About how many bytes a copy takes at most. Raises DatabaseFault."""

    def copy_to(self, target: Path, *, check: bool = True) -> None:
        """A copy as of one moment, written and synced; writers are not held up. Raises DatabaseFault."""

    def put_back(self, copy: Path) -> None:
        """Make the database what `copy` holds, all or nothing. Nobody may be using it. Raises DatabaseFault."""

    def migrations(self) -> list[str]:
        """The applied migrations, as `app.name`; empty for a database that was never used. Raises DatabaseFault."""


def from_environment(values: Mapping[str, str], *, data: Path) -> Database:
    """The database that the settings `values` name; SQLite in `data` without DATABASE_URL."""
    url = values.get("DATABASE_URL", "")
    if not url:
        return Sqlite(data / "left4me.sqlite3")
    split = urlsplit(url)
    if split.scheme == "sqlite":
        return Sqlite(Path("/", unquote(split.path).lstrip("/")))
    if split.scheme in {"postgres", "postgresql", "psql", "pgsql"}:
        return Postgres(_connection(url))
    raise DatabaseFault("DATABASE_URL must start with sqlite:// or postgres://.")


@dataclass
class Sqlite:
    path: Path
    kind: str = "sqlite"

    def size(self) -> int:
        files = (self.path, self.path.with_name(self.path.name + "-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def copy_to(self, target: Path, *, check: bool = True) -> None:
        try:
            with closing(self._open()) as ours, closing(sqlite3.connect(target)) as copy:
                # All pages in one step: a snapshot that no writer can make start over, and, the log being written
                # ahead, that holds up none.
                ours.backup(copy)
                if check and (found := copy.execute("PRAGMA quick_check").fetchone()[0]) != "ok":
                    raise DatabaseFault(f"{self.path} is damaged: {found}. Restore the last backup before this one.")
                # One file, without a log beside it.
                copy.execute("PRAGMA journal_mode=DELETE")
        except sqlite3.Error as error:
            raise DatabaseFault(f"{self.path} cannot be copied: {error}") from error
        target.chmod(0o600)
        atomic.sync(target)

    def put_back(self, copy: Path) -> None:
        owner = self.path.parent.stat()
        # The directory is the application's: root must not write through a link that lies in wait there.
        with atomic.replacing(self.path, mode=0o600, durable=True, owner=(owner.st_uid, owner.st_gid)) as target:
            with copy.open("rb") as source:
                shutil.copyfileobj(source, target, 1024 * 1024)
            target.flush()
            os.fsync(target.fileno())
            # The log beside the old file belongs to it; with the new one it would be laid over foreign pages.
            for suffix in ("-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    def migrations(self) -> list[str]:
        if not self.path.exists():
            return []
        try:
            with closing(self._open()) as ours:
                return [name for (name,) in ours.execute(_APPLIED)]
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return []
            raise DatabaseFault(f"{self.path} cannot be read: {error}") from error
        except sqlite3.Error as error:
            raise DatabaseFault(f"{self.path} cannot be read: {error}") from error

    def _open(self) -> sqlite3.Connection:
        # The directory belongs to the application: what lies there is looked at before root opens it.
        try:
            if not stat.S_ISREG(self.path.lstat().st_mode):
                raise DatabaseFault(f"{self.path} is no regular file.")
        except FileNotFoundError:
            raise DatabaseFault(f"{self.path} does not exist.") from None
        return sqlite3.connect(f"{self.path.as_uri()}?mode=rw", uri=True, timeout=30)


@dataclass
class Postgres:
    """Reached by PostgreSQL's own programs; the password stands in their environment, where `ps` does not show it."""

    connection: dict[str, str]
    kind: str = "postgres"

    def size(self) -> int:
        return int(self._query("SELECT pg_database_size(current_database())")[0])

    def copy_to(self, target: Path, *, check: bool = True) -> None:
        # pg_dump reads one snapshot, as of its beginning.
        self._run(["pg_dump", "--format=custom", "--compress=1", "--no-owner", f"--file={target}"])
        target.chmod(0o600)
        atomic.sync(target)

    def put_back(self, copy: Path) -> None:
        script = copy.with_name(copy.name + ".sql")
        try:
            try:
                self._put_back(copy, script)
            except DatabaseFault as fault:
                # Rights of second hosts that this server does not know.
                if "role" not in str(fault) or "does not exist" not in str(fault):
                    raise
                self._put_back(copy, script, "--no-privileges")
        finally:
            script.unlink(missing_ok=True)

    def _put_back(self, copy: Path, script: Path, *options: str) -> None:
        self._run(["pg_restore", "--no-owner", *options, f"--file={script}", copy])
        script.chmod(0o600)
        # In one transaction, so that a fault leaves what was there. Dropping the schema takes tables too that only a
        # newer release knows: its migrations could not make them again.
        fresh = "SET client_min_messages = warning; DROP SCHEMA public CASCADE; CREATE SCHEMA public"
        self._run(
            [
                *("psql", "--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1"),
                *(f"--command={fresh}", f"--file={script}", "--output=/dev/null"),
            ]
        )

    def migrations(self) -> list[str]:
        if self._query("SELECT to_regclass('django_migrations') IS NOT NULL") != ["t"]:
            return []
        return self._query(_APPLIED)

    def _query(self, sql: str) -> list[str]:
        argv = ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", f"--command={sql}"]
        return [line for line in self._run(argv).splitlines() if line]

    def _run(self, argv: Sequence[str | Path]) -> str:
        environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8", **self.connection}
        try:
            return commands.run(argv, timeout=_SECONDS, env=environment).output
        except commands.CommandMissing as error:
            raise DatabaseFault(f"{error}. Run `apt-get install postgresql-client`.") from error
        except commands.CommandError as error:
            raise DatabaseFault(str(error)) from error


def _connection(url: str) -> dict[str, str]:
    split = urlsplit(url)
    # Not `split.hostname`, which is in small letters: `%2Frun%2Fpostgresql` is the directory of a socket.
    address = split.netloc.rpartition("@")[2]
    host, _, port = address.rpartition(":") if address.rpartition(":")[2].isdecimal() else (address, "", "")
    found = {
        "PGHOST": unquote(host).strip("[]"),
        "PGPORT": port,
        "PGUSER": unquote(split.username or ""),
        "PGPASSWORD": unquote(split.password or ""),
        "PGDATABASE": unquote(split.path.lstrip("/")),
        "PGCONNECT_TIMEOUT": "10",
    }
    known = {"sslmode", "sslrootcert", "sslcert", "sslkey"}
    found |= {f"PG{key.upper()}": value for key, value in parse_qsl(split.query) if key in known}
    return {key: value for key, value in found.items() if value}
