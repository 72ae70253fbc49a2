"""The ASGI application that serves streams: routes a path, checks who asks, then only relays."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from left4me.core import logbook
from left4me.core.web.sse.events import START, Position, Source, Standing, read_position
from left4me.core.web.sse.hub import Hub
from left4me.core.web.sse.viewer import Receive, Send, Viewer

log = logging.getLogger(__name__)

Scope = Mapping[str, Any]
Headers = Mapping[str, str]
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


@dataclass(frozen=True)
class Route:
    """Paths that match `pattern` as a whole show what `open(user, *groups)` returns; None: there is no such thing."""

    pattern: str
    open: Open

    def match(self, path: str) -> tuple[str, ...] | None:
        match = re.fullmatch(self.pattern, path)
        return match.groups() if match else None


class Refusal(Exception):
    """The stream is not opened; becomes a problem+json answer."""

    def __init__(self, status: int, title: str) -> None:
        self.status = status
        super().__init__(title)


class Application:
    """Serves `routes`. `authenticate(headers)` returns the user or None; it and `open` run in the hub's threads."""

    def __init__(
        self, hub: Hub, routes: Sequence[Route], *, authenticate: Authenticate, streams_per_user: int
    ) -> None:
        self.hub = hub
        self._routes = list(routes)
        self._authenticate = authenticate
        self._streams_per_user = streams_per_user
        self._open: Counter[object] = Counter()

    @property
    def open_streams(self) -> int:
        """How many streams are open in this process."""
        return self._open.total()

    def serves(self, path: str) -> bool:
        return any(route.match(path) is not None for route in self._routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            if scope["method"] != "GET":
                raise Refusal(405, "A stream can only be read")
            user, source = await self.hub.blocking(self._admit, scope["path"], headers)
            logbook.add(user=user.pk)
            with self._counted(user):
                await self._stream(scope, headers, source, receive, send)
        except Refusal as refusal:
            await _refuse(send, refusal)
        except asyncio.CancelledError:
            # The server ends, or the viewer took nothing for too long: the connection is gone either way.
            log.debug("A stream was cut off")

    def _admit(self, path: str, headers: Headers) -> tuple[Any, Source]:
        user = self._authenticate(headers)
        if user is None:
            raise Refusal(401, "Sign in, or send a token")
        for route in self._routes:
            if (groups := route.match(path)) is not None:
                source = route.open(user, *groups)
                if source is not None:
                    return user, source
        raise Refusal(404, "There is nothing here")

    @contextlib.contextmanager
    def _counted(self, user: Any) -> Any:
        if self._open[user.pk] >= self._streams_per_user:
            raise Refusal(429, "You have too many live streams open")
        self._open[user.pk] += 1
        try:
            yield
        finally:
            self._open[user.pk] -= 1
            if not self._open[user.pk]:
                del self._open[user.pk]

    async def _stream(self, scope: Scope, headers: Headers, source: Source, receive: Receive, send: Send) -> None:
        def check() -> Standing:
            user = self._authenticate(headers)
            return source.standing(user) if user is not None else Standing(allowed=False, newest=START, ended=False)

        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await send({"type": "http.response.body", "body": _RECONNECT_AFTER, "more_body": True})
        viewer = Viewer(
            self.hub,
            source,
            send,
            position=_asked_position(scope, headers),
            check=check,
            check_key=(scope["path"], _credential(headers)),
        )
        try:
            await viewer.follow(receive)
        except Exception:
            # The viewer reconnects by itself and resumes; the answer has begun, so no status can say more.
            log.exception("A stream of %s broke", scope["path"])
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _asked_position(scope: Scope, headers: Headers) -> Position:
    # A browser that reconnects sends the header, and the address with its old parameter.
    asked = headers.get("last-event-id") or parse_qs(scope["query_string"].decode("latin-1")).get("last_seq", [""])[0]
    return read_position(asked) or START


def _credential(headers: Headers) -> str:
    """Stands for the right to watch; hashed, because it stays in memory and no log or dump is to hold a session."""
    secret = headers.get("authorization", "") + "\n" + headers.get("cookie", "")
    return hashlib.sha256(secret.encode()).hexdigest()


async def _refuse(send: Send, refusal: Refusal) -> None:
    body = json.dumps({"type": "about:blank", "title": str(refusal), "status": refusal.status, "detail": ""}).encode()
    headers = [(b"content-type", b"application/problem+json"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
