"""Whether a port of this machine is taken, and by whom."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

_LISTENING = "0A"


def refusal(address: str, port: int) -> OSError | None:
    """Why a service cannot listen on this TCP port; None when it can."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        return _refusal(probe, address, port)


def is_free(port: int) -> bool:
    """Return whether nothing on this machine holds `port`, over UDP or TCP, on any address."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            if _refusal(probe, "0.0.0.0", port):  # noqa: S104 -- only to see whether it is free
                return False
    return True


def _refusal(probe: socket.socket, address: str, port: int) -> OSError | None:
    if probe.type == socket.SOCK_STREAM:
        # Connections in TIME_WAIT do not keep a server from the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((address, port))
    except OSError as error:
        return error
    return None


def holder(port: int) -> str:
    """The program that holds `port` and its process, such as `srcds_linux (process 4711)`; empty where it is hidden.

    Processes of other users show their sockets to root only.
    """
    inodes = {f"socket:[{inode}]" for inode in _inodes(port)}
    for process in Path("/proc").glob("[0-9]*") if inodes else ():
        with contextlib.suppress(OSError):
            if any(_target(descriptor) in inodes for descriptor in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (process {process.name})"
    return ""


def _target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except OSError:
        return ""  # it was closed between the listing and now


def _inodes(port: int) -> Iterator[str]:
    for protocol in ("tcp", "tcp6", "udp", "udp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/net/{protocol}").read_text().splitlines()[1:]:
                fields = line.split()
                is_bound = fields[3] == _LISTENING or protocol.startswith("udp")
                if is_bound and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]
