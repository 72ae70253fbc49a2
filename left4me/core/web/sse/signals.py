"""The stream of signals: tells each viewer which of the things that they may see have changed.

An app registers for each kind of signal who may see the things of that kind. Signals are looked up when they are
delivered, once for all viewers of a process, so a right that was withdrawn a moment ago counts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from left4me.core.redis import keys, signals
from left4me.core.redis.client import client
from left4me.core.web.ids import parse_id
from left4me.core.web.sse.events import (
    START,
    Event,
    Message,
    Page,
    Position,
    Shared,
    Source,
    Standing,
    read_position,
    written,
)

# Everything that the page shows may have changed.
EVERYTHING = "*"
# A page that has missed more names than this asks for everything again: that costs less than to find out which of them
# it may hear of, and on an installation with thousands of servers it takes seconds until so many have changed.
_MOST_MISSED = 200

# The users who may see each of these ids, besides admins, who see all; None for everybody. Absent: nobody.
Audience = Callable[[Collection[int]], Mapping[int, Collection[int] | None]]

_audiences: dict[str, Audience] = {signals.RIGHTS: lambda ids: {user_id: (user_id,) for user_id in ids}}


def register(audience: Audience, *kinds: str) -> None:
    """Let `audience` decide who is told of signals of these kinds."""
    for kind in kinds:
        _audiences[kind] = audience


@dataclass(frozen=True)
class SignalMessage(Message):
    """One message of signals: `names` for those who may see them, and for the users in `also`."""

    names: tuple[str, ...] = ()
    also: tuple[int, ...] = ()


class Signals(Source):
    """The signals that one user may see: events `signal` with names, separated by spaces. It never ends."""

    begins_anew_after_outage = True
    # A page that was told of a change waits a second or two before it asks for the same part again.
    rest_seconds = 0.4

    def __init__(self, user: Any) -> None:
        self._user_id: int = user.pk
        self._is_admin: bool = user.is_admin

    @property
    def channel(self) -> str:
        return keys.SIGNALS_CHANNEL

    def decode(self, raw: bytes) -> Message:
        after, position, text = raw.decode().split(" ", 2)
        said = json.loads(text)
        return SignalMessage(
            after=read_position(after) or START,
            until=read_position(position) or START,
            names=tuple(said["names"]),
            also=tuple(said.get("also", ())),
        )

    def standing(self, user: Any) -> Standing:
        newest = cast("list[tuple[bytes, object]]", client().xrevrange(keys.SIGNALS, count=1))
        position = _position(newest[0][0]) if newest else START
        # One who became an admin, or is no longer one, gets a new stream.
        return Standing(allowed=user.is_admin == self._is_admin, newest=position, ended=False)

    def replay(self, after: Position) -> Page:
        with client().pipeline(transaction=False) as pipe:
            pipe.xrange(keys.SIGNALS, count=1)
            pipe.xrevrange(keys.SIGNALS, count=1)
            pipe.xrange(keys.SIGNALS, min=f"({written(after)}")
            oldest, newest, stored = pipe.execute()
        until = _position(newest[0][0]) if newest else after
        missed = [json.loads(fields[b"signal"]) for _, fields in stored]
        wanted = {name for said in missed for name in said["names"]}
        was_cut_off = len(stored) >= signals.KEPT and _position(oldest[0][0]) > after
        if after == START or was_cut_off or len(wanted) > _MOST_MISSED:
            return Page((Event("signal", EVERYTHING, until),), until)
        seen = wanted if self._is_admin else seen_by(wanted).of(self._user_id)
        also = {name for said in missed if self._user_id in said.get("also", ()) for name in said["names"]}
        names = seen | also
        event = Event("signal", " ".join(sorted(names)), until)
        return Page((event,) if names else (), until)

    async def select(self, message: Message, shared: Shared) -> Message:
        assert isinstance(message, SignalMessage)  # noqa: S101 -- what `decode` makes
        seen = message.names
        if not self._is_admin and self._user_id not in message.also:
            told = await shared(("signal", message.until), 10, seen_by, message.names)
            own = told.of(self._user_id)
            seen = tuple(name for name in message.names if name in own) if own else ()
        events = (Event("signal", " ".join(seen), message.until),) if seen else ()
        return Message(events, after=message.after, until=message.until)

    def wants_look(self, message: Message) -> bool:
        return isinstance(message, SignalMessage) and f"{signals.RIGHTS}:{self._user_id}" in message.names


@dataclass(frozen=True)
class SeenBy:
    """Who besides admins may see some names: made once for all viewers, of whom most may see none of them."""

    everybody: frozenset[str]
    users: Mapping[int, frozenset[str]]

    def of(self, user_id: int) -> frozenset[str]:
        """The names that this user may see."""
        return self.everybody | self.users[user_id] if user_id in self.users else self.everybody


def seen_by(names: Iterable[str]) -> SeenBy:
    """Who may see which of these names."""
    everybody: set[str] = set()
    users: dict[int, set[str]] = {}
    for name, audience in audience_of(names).items():
        if audience is None:
            everybody.add(name)
        else:
            for user_id in audience:
                users.setdefault(user_id, set()).add(name)
    return SeenBy(frozenset(everybody), {user_id: frozenset(seen) for user_id, seen in users.items()})


def audience_of(names: Iterable[str]) -> dict[str, Collection[int] | None]:
    """Who may see each of these; what nobody but admins may see is absent."""
    ids: dict[str, set[int]] = {}
    for name in names:
        kind, _, number = name.partition(":")
        # A worker host can write signals: a number must be one.
        if kind in _audiences and (pk := parse_id(number)) is not None:
            ids.setdefault(kind, set()).add(pk)
    return {
        f"{kind}:{number}": users
        for kind, numbers in ids.items()
        for number, users in _audiences[kind](numbers).items()
    }


def _position(identifier: bytes) -> Position:
    return read_position(identifier.decode()) or START
