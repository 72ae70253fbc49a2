"""The PostgreSQL server of this machine, used as its superuser: the role and the database of left4me."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from deploy.language import gettext as _
from deploy.ops.database import copies
from deploy.ops.machine import services
from deploy.ops.plan import CannotGoOn
from left4me.core.processes import commands

NAME: Final = "left4me"
# Runs a command as the superuser of PostgreSQL. The command needs a directory that this user can read.
AS_SUPERUSER: Final = ("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--")

_SECONDS: Final = 120
_START_SECONDS: Final = 60


def url(password: str) -> str:
    """The DATABASE_URL of left4me's own database. `password` must need no quoting in a URL."""
    return f"postgres://{NAME}:{password}@127.0.0.1:{psql('SHOW port;') or '5432'}/{NAME}"


def is_ours(address: str) -> bool:
    """Whether `url` made this DATABASE_URL; any other one is the operator's."""
    parts = urlsplit(address)
    return (parts.hostname, parts.username, parts.path) == ("127.0.0.1", NAME, f"/{NAME}")


def password_of(address: str) -> str:
    return unquote(urlsplit(address).password or "")


def answers(address: str) -> bool:
    """Whether the database accepts the connection that this DATABASE_URL describes."""
    # The password is passed in the environment: every user of the machine can read argument lists.
    env = {"PATH": os.environ["PATH"], **copies.connection_of(address)}
    argv = ["psql", "--no-psqlrc", "--quiet", "--no-password", "--command=SELECT 1"]
    try:
        return commands.run(argv, env=env, timeout=_SECONDS, check=False).status == 0
    except commands.CommandError:
        return False


def make(password: str) -> None:
    """Create the role and its database, and set the password. An existing database is left unchanged.

    Raises CannotGoOn.
    """
    if not psql(f"SELECT 1 FROM pg_roles WHERE rolname = '{NAME}';"):  # noqa: S608 -- a constant
        psql(f"CREATE ROLE {NAME};")
    psql(f"ALTER ROLE {NAME} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD '{password}';")
    if not psql(f"SELECT 1 FROM pg_database WHERE datname = '{NAME}';"):  # noqa: S608 -- a constant
        psql(f"CREATE DATABASE {NAME} OWNER {NAME} ENCODING 'UTF8' TEMPLATE template0;")


def set_aside(stamp: str) -> None:
    """Rename a database that an earlier installation or move has left, so that `make` creates an empty one."""
    if psql(f"SELECT 1 FROM pg_database WHERE datname = '{NAME}';"):  # noqa: S608 -- a constant
        psql(f"ALTER DATABASE {NAME} RENAME TO {NAME}_before_{stamp.lower()};")


def drop_database() -> None:
    psql(f"DROP DATABASE IF EXISTS {NAME};")


def drop() -> None:
    drop_database()
    psql(f"DROP ROLE IF EXISTS {NAME};")


def start() -> None:
    """Start the server now and at each boot, and wait until it answers. Raises CannotGoOn."""
    services.enable(["postgresql.service"])
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            psql("SELECT 1;")
            return
        except CannotGoOn:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def psql(script: str, **values: str) -> str:
    r"""Run a script as superuser and return its output, one row a line. Raises CannotGoOn.

    The script reads `values` with `\getenv`: every user of the machine can read argument lists.
    """
    argv = ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]
    env = {"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), "LC_ALL": "C.UTF-8", **values}
    argv = [*AS_SUPERUSER, *argv, "--file=-", "postgres"]
    try:
        return commands.run(argv, stdin=f"{script}\n", timeout=_SECONDS, env=env, cwd=Path("/")).output.strip()
    except commands.CommandError as error:
        raise CannotGoOn(
            _(
                "PostgreSQL on this machine cannot be set up: %(error)s\n`systemctl status 'postgresql*'` and "
                "`pg_lsclusters` show its state."
            )
            % {"error": error}
        ) from error
