"""Remembers refused passwords, so that none is sent twice.

A game server counts failed logins by address and bans for good, and everybody behind this application shares one
address. The exception is a game that is only just starting: it refuses every password until its server.cfg has run.
The guard assumes that where the caller says so, or where this password was accepted before. It then allows further
attempts after growing pauses, and in total fewer than cause a ban (5 failures in 30 s, or 10).

Refusals are kept in the memory of the process; after its restart one more attempt is made.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from time import monotonic

from servers.gamehost.rcon.errors import PasswordRefused

FIRST_PAUSE_SECONDS = 5.0
MOST_TRIES = 7


@dataclass(slots=True)
class _Refusal:
    password: bytes
    at: float
    tries: int = 1

    @property
    def due_at(self) -> float:
        return self.at + FIRST_PAUSE_SECONDS * 2.0 ** (self.tries - 1)


_refused: dict[tuple[str, int], _Refusal] = {}
_accepted: dict[tuple[str, int], bytes] = {}
_lock = threading.Lock()


def check(host: str, port: int, password: str, *, starting: bool = False) -> None:
    """Raises `PasswordRefused` for a password that this server has refused before."""
    address, digest = (host, port), _digest(password)
    with _lock:
        refusal = _refused.get(address)
        if refusal is None or refusal.password != digest:
            return
        may_be_starting = starting or _accepted.get(address) == digest
        if may_be_starting and refusal.tries < MOST_TRIES and monotonic() >= refusal.due_at:
            return
    raise PasswordRefused(
        "The server rejected this RCON password before. "
        "left4me tries again when the password changes or the server restarts."
    )


def refused(host: str, port: int, password: str) -> None:
    address, digest = (host, port), _digest(password)
    with _lock:
        before = _refused.get(address)
        tries = before.tries + 1 if before is not None and before.password == digest else 1
        _refused[address] = _Refusal(digest, monotonic(), tries)


def accepted(host: str, port: int, password: str) -> None:
    with _lock:
        _refused.pop((host, port), None)
        _accepted[host, port] = _digest(password)


def forget(host: str, port: int) -> None:
    """Forget the refusals of a game; called when it was restarted."""
    with _lock:
        _refused.pop((host, port), None)


def forget_all() -> None:
    """For tests, whose servers start and end on the same ports."""
    with _lock:
        _refused.clear()
        _accepted.clear()


def _digest(password: str) -> bytes:
    return hashlib.sha256(password.encode(errors="replace")).digest()
