"""The PostgreSQL of this machine: a role and a database for left4me, with a password, over loopback."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from deploy.ops.plan import CannotGoOn
from left4me.core.processes import commands

NAME: Final = "left4me"

_SECONDS: Final = 120
_START_SECONDS: Final = 60


def url(password: str) -> str:
    """`password` must need no quoting in an address."""
    return f"postgres://{NAME}:{password}@127.0.0.1:{_port()}/{NAME}"


def is_ours(address: str) -> bool:
    """Whether it is one that `url` made."""
    parts = urlsplit(address)
    return (parts.hostname, parts.username, parts.path) == ("127.0.0.1", NAME, f"/{NAME}")


def password_of(address: str) -> str:
    return unquote(urlsplit(address).password or "")


def answers(address: str) -> bool:
    """Whether the database behind `address` lets us in."""
    # The password by the environment: an argument list is there for all to see.
    parts = urlsplit(address)
    password = {"PGPASSWORD": unquote(parts.password or ""), "PATH": os.environ["PATH"]}
    words = address.replace(f":{parts.password}@", "@", 1)
    psql = ["psql", "--no-psqlrc", "--quiet", "--no-password", f"--dbname={words}", "--command=SELECT 1"]
    try:
        return commands.run(psql, env=password, timeout=_SECONDS, check=False).status == 0
    except commands.CommandError:
        return False


def make(password: str) -> None:
    """The role with this password, and its database; a database that there is stays as it is. Raises CannotGoOn."""
    if not _sql(f"SELECT 1 FROM pg_roles WHERE rolname = '{NAME}'"):  # noqa: S608 -- a constant
        _sql(f"CREATE ROLE {NAME}")
    _sql(f"ALTER ROLE {NAME} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD '{password}'")
    if not _sql(f"SELECT 1 FROM pg_database WHERE datname = '{NAME}'"):  # noqa: S608 -- a constant
        _sql(f"CREATE DATABASE {NAME} OWNER {NAME} ENCODING 'UTF8' TEMPLATE template0")


def drop() -> None:
    _sql(f"DROP DATABASE IF EXISTS {NAME}")
    _sql(f"DROP ROLE IF EXISTS {NAME}")


def start() -> None:
    """Have the server run now and at each boot. Raises CannotGoOn."""
    commands.run(["systemctl", "enable", "--now", "--quiet", "postgresql.service"], timeout=_SECONDS)
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            _sql("SELECT 1")
            return
        except CannotGoOn:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _port() -> str:
    return _sql("SHOW port") or "5432"


def _sql(statement: str) -> str:
    argv = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--reset-env"]
    psql = ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]
    try:
        # By standard input: an argument list is there for all to see.
        return commands.run([*argv, *psql], stdin=f"{statement};\n", timeout=_SECONDS, cwd=Path("/")).output.strip()
    except commands.CommandError as error:
        raise CannotGoOn(
            f"PostgreSQL on this machine cannot be set up: {error}\n`systemctl status 'postgresql*'` and "
            "`pg_lsclusters` say how it is."
        ) from error
