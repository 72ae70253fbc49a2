"""Validated settings from the environment. An error names the variable and the cure.

django-environ reads the variables and parses URLs; this adds the checks and the messages.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import environ

from left4me.core.net import keepalive

_ADDRESS = re.compile(r"^(?P<host>\[[0-9a-fA-F:]+\]|[^:\s]+):(?P<port>\d{1,5})$")
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_ORIGIN = re.compile(r"https?://[^/\s?#@]+", re.IGNORECASE)
_HOST_NAME = re.compile(r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")

_SQLITE = "django.db.backends.sqlite3"
_OUR_SQLITE = "left4me.core.sqlite"
_POSTGRESQL = "django.db.backends.postgresql"

# WAL lets readers continue while one writes; NORMAL is safe with WAL (a power cut loses at most the last commits,
# never the file); the rest keeps hot pages in memory.
_SQLITE_PRAGMAS = (
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;"
    " PRAGMA cache_size=-8000; PRAGMA temp_store=MEMORY;"
)


class Misconfigured(Exception):
    """A variable of the environment is invalid; the message names it and the cure."""


@dataclass(frozen=True)
class Bind:
    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        return self.host in _LOOPBACK

    @property
    def here(self) -> str:
        """Where this machine reaches it, as `host:port` of a URL."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)  # noqa: S104 -- compared, not bound
        return f"[{host.strip('[]')}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    def url_as(self, name: str) -> str:
        """Its URL under a name of this machine. Names of loopback give way to the address that it listens on."""
        return f"http://{self.here if name.strip('[]') in _LOOPBACK else f'{name}:{self.port}'}"


class Environment:
    """The process's environment; every method reads one variable or raises Misconfigured."""

    def __init__(self, source: dict[str, str] | None = None) -> None:
        self._env = environ.Env()
        if source is not None:
            self._env.ENVIRON = source

    def text(self, name: str, default: str = "") -> str:
        value: str = self._env.str(name, default=default)
        return value.strip()

    def choice(self, name: str, options: Sequence[str], default: str) -> str:
        value = self.text(name, default) or default
        if value not in options:
            raise Misconfigured(f"{name}={value!r} is not supported. Set it to one of: {', '.join(options)}.")
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        value = self.text(name, "true" if default else "false").lower()
        if value in {"1", "true", "yes", "on"}:
            return True
        if value in {"", "0", "false", "no", "off"}:
            return False
        raise Misconfigured(f"{name}={value!r} is neither true nor false. Set it to true or false.")

    def number(self, name: str, default: int, *, least: int, most: int) -> int:
        raw = self.text(name, str(default)) or str(default)
        if not re.fullmatch(r"-?\d+", raw) or not least <= int(raw) <= most:
            raise Misconfigured(f"{name}={raw!r} must be a whole number from {least} to {most}.")
        return int(raw)

    def words(self, name: str, default: Sequence[str] = ()) -> list[str]:
        raw = self.text(name)
        return [w.strip() for w in raw.split(",") if w.strip()] if raw else list(default)

    def folders(self, name: str, default: Sequence[str] = ()) -> list[Path]:
        """Absolute paths of directories, separated by commas; `-` for none."""
        words = [word for word in self.words(name, default) if word != "-"]
        for word in words:
            if not word.startswith("/") or ".." in word.split("/") or word == "/":
                raise Misconfigured(f"{name}: {word!r} is no absolute path of a directory. Write /srv, or - for none.")
        return [Path(word) for word in words]

    def bind(self, name: str, default: str) -> Bind:
        raw = self.text(name, default) or default
        match = _ADDRESS.match(raw)
        if not match or not 1 <= int(match["port"]) <= 65535:
            raise Misconfigured(f"{name}={raw!r} is not an address. Write host:port, for example 127.0.0.1:8000.")
        return Bind(match["host"].strip("[]"), int(match["port"]))

    def ports(self, name: str, default: str) -> range:
        raw = self.text(name, default) or default
        match = re.fullmatch(r"(\d{1,5})-(\d{1,5})", raw)
        if not match or not 1024 <= int(match[1]) <= int(match[2]) <= 65535:
            raise Misconfigured(
                f"{name}={raw!r} is no range of ports. Write first-last between 1024 and 65535, such as 27015-27115."
            )
        return range(int(match[1]), int(match[2]) + 1)

    def url(self, name: str, default: str, *, schemes: Sequence[str]) -> str:
        """The address, without a slash at its end; empty where it is not set and `default` is empty."""
        raw = self.text(name, default) or default
        if raw and urlsplit(raw).scheme not in schemes:
            raise Misconfigured(f"{name} must start with {' or '.join(s + '://' for s in schemes)}.")
        return raw.rstrip("/")

    def origins(self, name: str) -> list[str]:
        """Addresses of the form scheme://host[:port], separated by commas."""
        words = self.words(name)
        for word in words:
            if not _ORIGIN.fullmatch(word):
                raise Misconfigured(
                    f"{name}: {word!r} is no origin. Write scheme://host:port, such as http://10.0.0.7:9000."
                )
        return words

    def mail(self, name: str) -> dict[str, Any]:
        """Django's mail settings from a URL; empty when the variable is."""
        raw = self.text(name)
        if not raw:
            return {}
        if urlsplit(raw).scheme not in environ.Env.EMAIL_SCHEMES:
            raise Misconfigured(f"{name} must look like smtp+tls://user:password@mail.example.org:587.")
        given: dict[str, Any] = self._env.email_url_config(raw)
        return given

    def host_name(self, name: str, default: str) -> str:
        raw = self.text(name, default) or default
        if not _HOST_NAME.match(raw):
            raise Misconfigured(
                f"{name}={raw!r} is no host name. Use small letters, digits and hyphens, at most 63 characters."
            )
        return raw


def database_from_url(url: str) -> dict[str, Any]:
    """Django's DATABASES entry for `url`, with options for several concurrent writers. Raises Misconfigured."""
    try:
        config: dict[str, Any] = dict(environ.Env.db_url_config(url))
    except Exception as error:
        raise Misconfigured(
            "DATABASE_URL cannot be read. Write sqlite:////path/to/file or postgres://user:password@host/name."
        ) from error
    engine = config.get("ENGINE", "")
    if engine == _SQLITE:
        config["ENGINE"] = _OUR_SQLITE
        # IMMEDIATE: otherwise a transaction that reads and then writes fails at once when another one writes in
        # between, instead of waiting for it.
        config["OPTIONS"] = {"transaction_mode": "IMMEDIATE", "timeout": 20, "init_command": _SQLITE_PRAGMAS}
        # Opening the file and setting the PRAGMAs costs as much as a query, so the connection stays open.
        config["CONN_MAX_AGE"] = None
        # Tests use a file too: a database in memory cannot be shared with worker processes.
        config["TEST"] = {"NAME": f"{config['NAME']}.test"}
    elif engine.startswith(_POSTGRESQL):
        config["ENGINE"] = _POSTGRESQL
        # The directory of a unix socket takes the place of the host name, with %2F for its slashes.
        config["HOST"] = unquote(config.get("HOST") or "")
        # Pooled connections may have died, which happens over a network; there each is checked before use.
        config["CONN_HEALTH_CHECKS"] = bool(keepalive.for_postgresql(config["HOST"]))
        config["OPTIONS"] = {
            **keepalive.for_postgresql(config["HOST"]),
            **config.get("OPTIONS", {}),
            "pool": {"min_size": 1, "max_size": 20, "timeout": 10},
        }
    else:
        raise Misconfigured("DATABASE_URL must start with sqlite:// or postgres://.")
    return config
