"""How a host reaches the desk of the web: its own host by calls, worker hosts over HTTP, with retries."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol

from django.conf import settings

from left4me.jobs.context import JobContext
from overlays.replication.attempts import Unavailable
from servers.hosts import web_steps
from servers.hosts.server_steps import Declined
from servers.hosts.web_steps import WebSteps
from servers.moves import desk
from servers.moves.desk import Offer

__all__ = ["Declined", "Door", "Offer", "Unavailable", "opened"]


class Door(Protocol):
    """The steps of `desk`, of this host and the job that runs. Each raises Declined, Unavailable and Cancelled."""

    def begin(self, *, expected: int) -> int: ...

    def put(self, piece: bytes, *, at: int) -> int: ...

    def sent(self, *, size: int, sha256: str) -> None: ...

    def offer(self) -> Offer: ...

    def pieces(self, size: int) -> Iterator[bytes]: ...

    def taken(self, *, sha256: str) -> str: ...


@contextlib.contextmanager
def opened(run: JobContext) -> Iterator[Door]:
    """The door of this host, for the job that runs."""
    if not settings.LEFT4ME_WEB_URL:
        yield _OwnDoor(run)
        return
    with web_steps.opened(run, "move") as steps:
        yield _FarDoor(steps)


class _OwnDoor:
    """On the web's own machine."""

    def __init__(self, run: JobContext) -> None:
        self._run = run
        self._who = (run.host, run.resource_id, run.job_id)

    def begin(self, *, expected: int) -> int:
        return desk.begin(*self._who, expected=expected)

    def put(self, piece: bytes, *, at: int) -> int:
        self._run.check()
        return desk.append(*self._who, piece, at=at)

    def sent(self, *, size: int, sha256: str) -> None:
        desk.sent(*self._who, size=size, sha256=sha256)

    def offer(self) -> Offer:
        return desk.offer(*self._who)

    def pieces(self, size: int) -> Iterator[bytes]:
        return desk.pieces(*self._who, at=0)

    def taken(self, *, sha256: str) -> str:
        return desk.taken(*self._who, sha256=sha256)


class _FarDoor:
    """On a worker host."""

    def __init__(self, steps: WebSteps) -> None:
        self._steps = steps

    def begin(self, *, expected: int) -> int:
        return int(self._steps.ask("begin", {"expected": expected})["received"])

    def put(self, piece: bytes, *, at: int) -> int:
        return int(self._steps.put(piece, at=at)["received"])

    def sent(self, *, size: int, sha256: str) -> None:
        self._steps.ask("sent", {"size": size, "sha256": sha256})

    def offer(self) -> Offer:
        told = self._steps.ask("offer", {})
        return Offer(int(told["size"]), str(told["sha256"]))

    def pieces(self, size: int) -> Iterator[bytes]:
        return self._steps.pieces(size)

    def taken(self, *, sha256: str) -> str:
        return str(self._steps.ask("taken", {"sha256": sha256})["address"])
