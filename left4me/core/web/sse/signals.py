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
)

# Everything that the page shows may have changed.
EVERYTHING = "*"

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
        stored = cast("list[tuple[bytes, dict[bytes, bytes]]]", client().xrange(keys.SIGNALS))
        newest = _position(stored[-1][0]) if stored else after
        if after == START or (len(stored) >= signals.KEPT and _position(stored[0][0]) > after):
            return Page((Event("signal", EVERYTHING, newest),), newest)
        missed = [json.loads(fields[b"signal"]) for position, fields in stored if _position(position) > after]
        audience = audience_of({name for said in missed for name in said["names"]})
        names = {
            name
            for said in missed
            for name in said["names"]
            if self._user_id in said.get("also", ()) or self._may_see(name, audience)
        }
        event = Event("signal", " ".join(sorted(names)), newest)
        return Page((event,) if names else (), newest)

    async def select(self, message: Message, shared: Shared) -> Message:
        assert isinstance(message, SignalMessage)  # noqa: S101 -- what `decode` makes
        audience = await shared(("signal", message.until), 10, audience_of, message.names)
        seen = [name for name in message.names if self._user_id in message.also or self._may_see(name, audience)]
        events = (Event("signal", " ".join(seen), message.until),) if seen else ()
        return Message(events, after=message.after, until=message.until)

    def wants_look(self, message: Message) -> bool:
        return isinstance(message, SignalMessage) and f"{signals.RIGHTS}:{self._user_id}" in message.names

    def _may_see(self, name: str, audience: Mapping[str, Collection[int] | None]) -> bool:
        if self._is_admin:
            return True
        if name not in audience:
            return False
        users = audience[name]
        return users is None or self._user_id in users


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
