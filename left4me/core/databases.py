"""Django's database settings from one URL, with the options each engine needs for several concurrent writers."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import environ

from left4me.core.env import Misconfigured
from left4me.core.net import keepalive

_SQLITE = "django.db.backends.sqlite3"
_POSTGRESQL = "django.db.backends.postgresql"

# WAL lets readers continue while one writes; NORMAL is safe with WAL (a power cut loses at most the last commits,
# never the file); the rest keeps hot pages in memory.
_SQLITE_PRAGMAS = (
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;"
    " PRAGMA cache_size=-8000; PRAGMA temp_store=MEMORY;"
)


def database_from_url(url: str) -> dict[str, Any]:
    """Return Django's DATABASES entry for `url`; raises Misconfigured for an engine that is not supported."""
    try:
        config: dict[str, Any] = dict(environ.Env.db_url_config(url))
    except Exception as error:
        raise Misconfigured(
            "DATABASE_URL cannot be read. Write sqlite:////path/to/file or postgres://user:password@host/name."
        ) from error
    engine = config.get("ENGINE", "")
    if engine == _SQLITE:
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
