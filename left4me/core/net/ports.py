"""Whether a port of this machine is taken."""

from __future__ import annotations

import socket


def is_free(port: int) -> bool:
    """Return whether nothing on this machine holds `port`, over UDP or TCP, on any address."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:
                # Connections that have just ended hold nothing that a server could not take over.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("0.0.0.0", port))  # noqa: S104 -- only to see whether it is free
            except OSError:
                return False
    return True
