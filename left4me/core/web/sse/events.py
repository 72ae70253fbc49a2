"""What streams are made of, and what an app must answer for one of its own."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Protocol

# Where a viewer stands in a stream. Compared, and written as the id of an event: (12,) is "12", (1700, 3) is "1700-3".
Position = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """One event. One without a position (a progress bar's figure) is not made up for when a viewer misses it."""

    kind: str
    data: str
    position: Position | None = None

    def encoded(self) -> bytes:
        number = f"id: {written(self.position)}\n" if self.position is not None else ""
        data = "\n".join(f"data: {line}" for line in self.data.split("\n"))
        return f"{number}event: {self.kind}\n{data}\n\n".encode()


@dataclass(frozen=True)
class Message:
    """What one live message brings: events that follow on the position `after`, or passing ones when it is None.

    `end` is sent last, once the viewer has all up to there, and the stream is closed.
    """

    events: tuple[Event, ...] = ()
    after: Position | None = None
    end: Event | None = None

    @property
    def last(self) -> Position | None:
        return self.events[-1].position if self.events and self.after is not None else self.after

    @functools.cached_property
    def encoded(self) -> bytes:
        """All events at once: encoded once, however many viewers get it."""
        return b"".join(event.encoded() for event in self.events)

    def beyond(self, position: Position) -> bytes:
        return b"".join(e.encoded() for e in self.events if e.position is not None and e.position > position)


@dataclass(frozen=True)
class Page:
    """Stored events after some position; `more` when there are others behind, else `end` when nothing will follow."""

    events: tuple[Event, ...]
    position: Position
    more: bool = False
    end: Event | None = None


@dataclass(frozen=True)
class Standing:
    """How a viewer and a stream stand now: may it be seen, up to where does it go, has it ended."""

    allowed: bool
    newest: Position
    ended: bool


class Source(Protocol):
    """What one viewer watches. `standing` and `replay` may block: they are called in threads of a small pool."""

    @property
    def channel(self) -> str:
        """The Redis channel that carries live messages; viewers of one channel share them."""
        ...

    def decode(self, raw: bytes) -> Message:
        """Read one live message; called once for all viewers of the channel."""
        ...

    def standing(self, user: Any) -> Standing:
        """Look again, every few seconds: rights may have gone, or messages been lost."""
        ...

    def replay(self, after: Position) -> Page:
        """Return what is stored beyond `after`, in pages small enough to hold in memory."""
        ...


START: Position = (0,)


def written(position: Position) -> str:
    return "-".join(map(str, position))


def read_position(text: str) -> Position | None:
    """The position that an event id names; None for what no stream of ours has sent."""
    parts = text.strip().split("-")
    if not text.isascii() or len(text) > 64 or not all(part.isdigit() for part in parts):
        return None
    return tuple(int(part) for part in parts)
