"""The ASGI application that serves streams: it routes a path, authorises the user, then only relays."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from left4me.core import logbook
from left4me.core.web import asgi
from left4me.core.web.asgi import Headers, Receive, Refusal, Scope, Send
from left4me.core.web.processes.counts import SharedCounts
from left4me.core.web.sse import bundle
from left4me.core.web.sse.bundle import Part
from left4me.core.web.sse.events import START, Position, Source, Standing, read_position
from left4me.core.web.sse.hub import Hub
from left4me.core.web.sse.viewer import Viewer

log = logging.getLogger(__name__)

Authenticate = Callable[[Headers], Any]
Open = Callable[..., Source | None]

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    # nginx would hold events back to fill its buffers.
    (b"x-accel-buffering", b"no"),
]
_RECONNECT_AFTER = b"retry: 2000\n\n"

# Of each kind, on one connection.
MOST_PARTS = 4
_LONGEST_NUMBER = 18


@dataclass(frozen=True)
class Route:
    """Paths that match `pattern` as a whole show what `open(user, *groups)` returns; None means 404.

    With `parts`, one connection carries further streams, which the query names: `?log=12:1700-3&job=34`, with the
    position that the client has reached. `parts["log"](user, "12")` opens such a stream.
    """

    pattern: str
    open: Open
    parts: Mapping[str, Open] | None = None

    def match(self, path: str) -> tuple[str, ...] | None:
        match = re.fullmatch(self.pattern, path)
        return match.groups() if match else None


class OpenStreams:
    """How many streams are open: in this process, whose row of `counts` is `row`, and in all that share `counts`."""

    # Users whose ids are so far apart are counted as one: a process has no room for all possible ids.
    _USERS = 16_384
    COLUMNS = 1 + _USERS

    def __init__(self, counts: SharedCounts | None = None, row: int = 0) -> None:
        self._counts = counts or SharedCounts(1, self.COLUMNS)
        self._row = row
        self.here = 0

    def add(self, user_id: int, number: int) -> None:
        self.here += number
        self._counts.add(self._row, 0, number)
        self._counts.add(self._row, self._column(user_id), number)

    @property
    def everywhere(self) -> int:
        return self._counts.total(0)

    def of(self, user_id: int) -> int:
        """How many this user has open, everywhere."""
        return self._counts.total(self._column(user_id))

    def _column(self, user_id: int) -> int:
        return 1 + user_id % self._USERS


class Application(asgi.Application):
    """Serves `routes`. `authenticate(headers)` returns the user or None; it and `open` run in the hub's threads."""

    def __init__(
        self, hub: Hub, routes: Sequence[Route], *, authenticate: Authenticate, streams_per_user: int
    ) -> None:
        self.hub = hub
        self._routes = list(routes)
        self._authenticate = authenticate
        self._streams_per_user = streams_per_user
        # Of this process; None until `limit_streams` is called.
        self._most: int | None = None
        self._open = OpenStreams()

    def count_in(self, open_streams: OpenStreams) -> None:
        """Count together with other processes; called before the first stream."""
        self._open = open_streams

    @property
    def open_streams(self) -> int:
        """How many streams are open, in all processes that count together."""
        return self._open.everywhere

    def limit_streams(self, most: int) -> None:
        """Refuse further streams of this process with 503 beyond this number, so that pages have descriptors left."""
        self._most = most

    def serves(self, path: str) -> bool:
        return any(route.match(path) is not None for route in self._routes)

    async def answer(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        if scope["method"] != "GET":
            raise Refusal(405, "Method not allowed")
        self._refuse_beyond_limit()
        admitted = await self.hub.blocking(self._admit, scope, headers)
        logbook.add(user=admitted.user.pk)
        with self._counted(admitted.user):
            await self._stream(admitted, headers, receive, send)

    def _refuse_beyond_limit(self) -> None:
        if self._most is not None and self._open.here >= self._most:
            raise Refusal(503, "Too many open streams on this host. Try again in a moment.", retry_after=5)

    def _admit(self, scope: Scope, headers: Headers) -> _Admitted:
        user = self._authenticate(headers)
        if user is None:
            raise Refusal(401, "Authentication required")
        for route in self._routes:
            if (groups := route.match(scope["path"])) is not None:
                source = route.open(user, *groups)
                if source is not None:
                    asked = parse_qs(scope["query_string"].decode("latin-1"))
                    parts = None if route.parts is None else _open_parts(user, route.parts, asked)
                    return _Admitted(user, source, _asked_position(asked, headers), parts)
        raise Refusal(404, "Not found")

    @contextlib.contextmanager
    def _counted(self, user: Any) -> Any:
        # Once more: others were admitted in between.
        self._refuse_beyond_limit()
        self._open.add(user.pk, 1)
        try:
            # Afterwards: of two processes that do this at once, both may refuse, but never both admit one too many.
            if self._open.of(user.pk) > self._streams_per_user:
                raise Refusal(429, "Too many open streams. Close some tabs.")
            yield
        finally:
            self._open.add(user.pk, -1)

    async def _stream(self, admitted: _Admitted, headers: Headers, receive: Receive, send: Send) -> None:
        await asgi.start(send, _HEADERS)
        await asgi.send_body(send, _RECONNECT_AFTER, more=True)
        credential = _credential(headers)

        def view(source: Source, position: Position, send: Send, **options: Any) -> Viewer:
            def check() -> Standing:
                user = self._authenticate(headers)
                return source.standing(user) if user is not None else Standing(False, newest=START, ended=False)

            key = (source.channel, admitted.user.is_admin, credential)
            return Viewer(self.hub, source, send, position=position, check=check, check_key=key, **options)

        try:
            if admitted.parts is None:
                await view(admitted.source, admitted.position, send).follow(receive)
            else:
                await bundle.follow(view, admitted.source, admitted.position, admitted.parts, receive, send)
        except Exception:
            # The viewer reconnects by itself and resumes; the answer has begun, so no status can say more.
            log.exception("Stream of %s failed", admitted.source.channel)
        await asgi.send_body(send, b"", more=False)


@dataclass(frozen=True)
class _Admitted:
    """What a user may follow: a stream from a position and, if one connection carries several, its parts."""

    user: Any
    source: Source
    position: Position
    parts: list[Part] | None


def _open_parts(user: Any, kinds: Mapping[str, Open], asked: Mapping[str, list[str]]) -> list[Part]:
    parts = {}
    for kind, opened in kinds.items():
        for text in asked.get(kind, [])[:MOST_PARTS]:
            number, _, position = text.partition(":")
            if number.isascii() and number.isdigit() and len(number) <= _LONGEST_NUMBER:
                name = f"{kind}:{number}"
                parts[name] = Part(name, opened(user, number), read_position(position) or START)
    return list(parts.values())


def _asked_position(asked: Mapping[str, list[str]], headers: Headers) -> Position:
    # A browser that reconnects sends the header, and the address with its old parameter.
    position = headers.get("last-event-id") or asked.get("last_seq", [""])[0]
    return read_position(position) or START


def _credential(headers: Headers) -> str:
    """Identifies the credentials; hashed, because it stays in memory and no log or dump may contain a session."""
    secret = headers.get("authorization", "") + "\n" + headers.get("cookie", "")
    return hashlib.sha256(secret.encode()).hexdigest()
