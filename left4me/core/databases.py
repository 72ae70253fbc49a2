"""Database settings from a URL, with the options that each engine needs for concurrent writers."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import environ

from left4me.core.env import Misconfigured
from left4me.core.net import keepalive

_SQLITE = "django.db.backends.sqlite3"
_POSTGRESQL = "django.db.backends.postgresql"

# With WAL, readers do not wait for a writer. NORMAL is safe with WAL: a power cut loses at most the last commits. The
# rest keeps hot pages in memory.
_SQLITE_PRAGMAS = (
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;"
    " PRAGMA cache_size=-8000; PRAGMA temp_store=MEMORY;"
)


def database_from_url(url: str) -> dict[str, Any]:
    """The entry of Django's DATABASES for `url`. Raises Misconfigured for an unsupported engine."""
    try:
        config: dict[str, Any] = dict(environ.Env.db_url_config(url))
    except Exception as error:
        raise Misconfigured(
            "DATABASE_URL cannot be read. Write sqlite:////path/to/file or postgres://user:password@host/name."
        ) from error
    engine = config.get("ENGINE", "")
    if engine == _SQLITE:
        # IMMEDIATE: otherwise a transaction that reads and then writes would fail at once if another writes in
        # between, instead of waiting for the lock.
        config["OPTIONS"] = {"transaction_mode": "IMMEDIATE", "timeout": 20, "init_command": _SQLITE_PRAGMAS}
        # Opening the file and running the PRAGMAs costs as much as a query, so connections are kept open.
        config["CONN_MAX_AGE"] = None
        # Tests use a file too: an in-memory database cannot be shared with threads and worker processes.
        config["TEST"] = {"NAME": f"{config['NAME']}.test"}
    elif engine.startswith(_POSTGRESQL):
        config["ENGINE"] = _POSTGRESQL
        # The directory of a unix socket takes the place of the host name, with its slashes written as %2F.
        config["HOST"] = unquote(config.get("HOST") or "")
        # Pooled connections may have died; over a network that happens, so there each is checked before use.
        config["CONN_HEALTH_CHECKS"] = bool(keepalive.for_postgresql(config["HOST"]))
        config["OPTIONS"] = {
            **keepalive.for_postgresql(config["HOST"]),
            **config.get("OPTIONS", {}),
            "pool": {"min_size": 1, "max_size": 20, "timeout": 10},
        }
    else:
        raise Misconfigured("DATABASE_URL must start with sqlite:// or postgres://.")
    return config
