"""Remembers refused passwords, so that none is offered twice.

A game server counts failed logins by address and bans for good, and everybody behind this application shares one
address. What is remembered goes with the process; after a restart one more try is made.
"""

from __future__ import annotations

import hashlib
import threading

from servers.rcon.errors import PasswordRefused

_refused: dict[tuple[str, int], bytes] = {}
_lock = threading.Lock()


def check(host: str, port: int, password: str) -> None:
    """Raises `PasswordRefused` for a password that this server has refused before."""
    with _lock:
        refused = _refused.get((host, port))
    if refused is not None and refused == _digest(password):
        raise PasswordRefused(
            "The server has refused this RCON password before. "
            "It is offered again once it changes or the server is started anew."
        )


def remember(host: str, port: int, password: str) -> None:
    with _lock:
        _refused[host, port] = _digest(password)


def forget(host: str, port: int) -> None:
    """To be called when the server there is another one than before: it was started anew, or let us in."""
    with _lock:
        _refused.pop((host, port), None)


def _digest(password: str) -> bytes:
    return hashlib.sha256(password.encode(errors="replace")).digest()
