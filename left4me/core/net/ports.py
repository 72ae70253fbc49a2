"""Whether a port of this machine is taken."""

from __future__ import annotations

import socket


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
