"""Events and messages of a stream, and the interface that an app implements for a stream of its own."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

# A viewer's position in a stream. Comparable; as the id of an event (12,) is "12" and (1700, 3) is "1700-3".
Position = tuple[int, ...]
# `Hub.shared`: the result of a call in a thread, by a key and for some seconds.
Shared = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Event:
    """One event. An event without a position is transient: it is not replayed after a reconnect."""

    kind: str
    data: str
    position: Position | None = None

    def encoded(self) -> bytes:
        number = f"id: {written(self.position)}\n" if self.position is not None else ""
        data = "\n".join(f"data: {line}" for line in self.data.split("\n"))
        return f"{number}event: {self.kind}\n{data}\n\n".encode()


@dataclass(frozen=True)
class Message:
    """One live message: events that follow the position `after`, or transient ones when it is None.

    `end` is sent last, once the viewer has all events up to there, and closes the stream.
    """

    events: tuple[Event, ...] = ()
    after: Position | None = None
    end: Event | None = None
    # The position that a viewer has reached with it, where events are left out for that viewer.
    until: Position | None = None

    @property
    def last(self) -> Position | None:
        if self.until is not None:
            return self.until
        return self.events[-1].position if self.events and self.after is not None else self.after

    @functools.cached_property
    def encoded(self) -> bytes:
        """All events together: encoded once, however many viewers get it."""
        return b"".join(event.encoded() for event in self.events)

    def beyond(self, position: Position) -> bytes:
        return b"".join(e.encoded() for e in self.events if e.position is not None and e.position > position)


@dataclass(frozen=True)
class Page:
    """Stored events after some position. `more`: others follow them; `end`: nothing will follow."""

    events: tuple[Event, ...]
    position: Position
    more: bool = False
    end: Event | None = None


@dataclass(frozen=True)
class Standing:
    """The current state for one viewer: whether it may see the stream, its newest position, and whether it ended."""

    allowed: bool
    newest: Position
    ended: bool


class Source(ABC):
    """The stream that one viewer follows. `standing` and `replay` may block: they run in threads of a small pool."""

    # Whether what is stored may lack messages after Redis was away, so that a viewer begins anew then.
    begins_anew_after_outage = False
    # How long viewers rest after a message before they look at the next ones, all together: many messages for many
    # viewers, of which each gets few, cost little more than one.
    rest_seconds = 0.0

    @property
    @abstractmethod
    def channel(self) -> str:
        """The Redis channel that carries live messages; viewers of one channel share them."""

    @abstractmethod
    def decode(self, raw: bytes) -> Message:
        """Read one live message; called once for all viewers of the channel."""

    @abstractmethod
    def standing(self, user: Any) -> Standing:
        """Called every few seconds: rights may have been withdrawn, or messages lost."""

    @abstractmethod
    def replay(self, after: Position) -> Page:
        """Return the events stored after `after`, in pages small enough to hold in memory."""

    async def select(self, message: Message, shared: Shared) -> Message:
        """The part of a live message that this viewer may see; `shared` runs what blocks, once for all viewers."""
        return message

    def wants_look(self, message: Message) -> bool:
        """Whether the rights of this viewer may have changed with it, so that they are checked at once."""
        return False


START: Position = (0,)


def written(position: Position) -> str:
    return "-".join(map(str, position))


def read_position(text: str) -> Position | None:
    """The position of an event id; None for an id that no stream here has sent."""
    parts = text.strip().split("-")
    if not text.isascii() or len(text) > 64 or not all(part.isdigit() for part in parts):
        return None
    return tuple(int(part) for part in parts)
