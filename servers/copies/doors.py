"""How a host reaches the desk of copies: worker hosts over HTTP, the web's own host, which only takes, by calls."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Protocol

from django.conf import settings

from left4me.jobs.context import JobContext
from servers.copies import desk
from servers.copies.desk import Offer, Told
from servers.hosts import web_steps
from servers.hosts.web_steps import WebSteps


class Taker(Protocol):
    """What a host needs to take a copy. Each raises Declined, Unavailable and Cancelled."""

    def offer(self) -> Offer: ...

    def pieces(self, size: int) -> Iterator[bytes]: ...

    def taken(self) -> None: ...


@contextlib.contextmanager
def taking(run: JobContext) -> Iterator[Taker]:
    """The door for the job that takes a copy."""
    if not settings.LEFT4ME_WEB_URL:
        yield _OwnDoor(run)
        return
    with web_steps.opened(run, "copy") as steps:
        yield FarDoor(steps)


@contextlib.contextmanager
def sending(run: JobContext) -> Iterator[FarDoor]:
    """The door for the job that sends a copy."""
    with web_steps.opened(run, "copy") as steps:
        yield FarDoor(steps)


class _OwnDoor:
    """On the web's own machine."""

    def __init__(self, run: JobContext) -> None:
        self._who = (run.host, run.resource_id, run.job_id)

    def offer(self) -> Offer:
        return desk.offer(*self._who)

    def pieces(self, size: int) -> Iterator[bytes]:
        return desk.pieces(*self._who, at=0)

    def taken(self) -> None:
        desk.taken(*self._who)


class FarDoor:
    """On a worker host."""

    def __init__(self, steps: WebSteps) -> None:
        self._steps = steps

    def begin(self) -> int:
        return int(self._steps.ask("begin", {})["most"])

    def missing(self, digests: Sequence[str]) -> set[str]:
        return set(self._steps.ask("missing", {"pieces": list(digests)})["missing"])

    def put(self, piece: bytes) -> None:
        self._steps.put(piece, at=0)

    def finish(self, told: Told) -> None:
        values = {name: getattr(told, name) for name in ("sha256", "sent", "left_out")}
        self._steps.ask("finish", {"list": told.list_of_pieces, "left_out_paths": list(told.left_out_paths), **values})

    def offer(self) -> Offer:
        told = self._steps.ask("offer", {})
        return Offer(int(told["size"]), str(told["sha256"]), str(told["copied_at"]), str(told["lost_host"]))

    def pieces(self, size: int) -> Iterator[bytes]:
        return self._steps.pieces(size)

    def taken(self) -> None:
        self._steps.ask("taken", {})
