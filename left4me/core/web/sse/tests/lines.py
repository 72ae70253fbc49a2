"""A stream of numbered lines in memory, and an application that serves it, for tests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from left4me.core.redis.client import async_subscriber, client
from left4me.core.web import sse
from left4me.core.web.sse.events import Event, Message, Page, Position, Source, Standing

ANNA = SimpleNamespace(pk=1, is_admin=False)
STAN = SimpleNamespace(pk=2, is_admin=False)


class Lines(Source):
    """Lines 1, 2, 3 …, of which `stored` are kept; messages about them are sent with `say` and `publish`."""

    def __init__(self, name: str = "a", *, page: int = 100) -> None:
        self.name, self.page = name, page
        self.stored: list[Event] = []
        self.end: Event | None = None
        self.allowed = True
        self.replays: list[Position] = []
        self.looks = 0
        self.fault: Exception | None = None

    @property
    def channel(self) -> str:
        return f"lines:{self.name}"

    def decode(self, raw: bytes) -> Message:
        said = json.loads(raw)
        events = tuple(_line(seq) for seq in said.get("lines", ()))
        if "note" in said:
            return Message((Event("note", said["note"]),))
        return Message(events, after=(said["after"],), end=Event("end", "{}") if said.get("end") else None)

    def standing(self, user: Any) -> Standing:
        self.looks += 1
        return Standing(self.allowed, newest=(len(self.stored),), ended=self.end is not None)

    def replay(self, after: Position) -> Page:
        if self.fault is not None:
            raise self.fault
        self.replays.append(after)
        left = [event for event in self.stored if event.position is not None and event.position > after]
        some = left[: self.page]
        position = some[-1].position if some else after
        assert position is not None
        more = len(left) > len(some)
        return Page(tuple(some), position, more=more, end=None if more else self.end)

    def store(self, number: int) -> list[int]:
        """Store further lines without a word; return their numbers."""
        first = len(self.stored) + 1
        seqs = list(range(first, first + number))
        self.stored += [_line(seq) for seq in seqs]
        return seqs

    def say(self, number: int = 1) -> None:
        """Store further lines and tell those who listen."""
        after = len(self.stored)
        self.publish(after=after, lines=self.store(number))

    def finish(self, *, quietly: bool = False) -> None:
        self.end = Event("end", "{}")
        if not quietly:
            self.publish(after=len(self.stored), end=True)

    def publish(self, **message: Any) -> None:
        client().publish(self.channel, json.dumps(message))


def _line(seq: int) -> Event:
    return Event("line", json.dumps({"seq": seq}), (seq,))


def run(
    scenario: Callable[[sse.Application], Any],
    sources: Mapping[str, Source],
    *,
    users: dict[str, Any] | None = None,
    most: int = 10,
) -> None:
    """Run `scenario(application)`: `/lines/a` serves `sources["a"]`, `/pages/a` also the parts that the query names.

    The header `x-user` names one of `users`; without it, it is Anna.
    """
    known = {"anna": ANNA, "stan": STAN} if users is None else users

    def open_stream(user: Any, name: str) -> Source | None:
        return sources.get(name) if user is not STAN else None

    def open_part(user: Any, number: str) -> Source | None:
        return sources.get(number)

    async def main() -> None:
        application = sse.Application(
            sse.Hub(async_subscriber),
            [
                sse.Route(r"/lines/(\w+)", open_stream),
                sse.Route(r"/pages/(\w+)", open_stream, parts={"log": open_part, "job": open_part}),
            ],
            authenticate=lambda headers: known.get(headers.get("x-user", "anna")),
            streams_per_user=most,
        )
        try:
            await scenario(application)
        finally:
            await application.hub.stop()

    asyncio.run(main())
