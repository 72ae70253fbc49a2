"""Pages together with their live connection, as left4me serves them: Django's live server for tests has no streams."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_django.live_server_helper import LiveServer

_START_SECONDS = 30


class LiveSite:
    """The site in a thread of this process, with the test's database; static files under their plain names."""

    def __init__(self) -> None:
        import uvicorn
        from a2wsgi import WSGIMiddleware
        from django.contrib.staticfiles.handlers import StaticFilesHandler
        from django.core.handlers.wsgi import WSGIHandler

        from left4me import streams

        self._streams = streams.application
        self._pages: Any = WSGIMiddleware(StaticFilesHandler(WSGIHandler()), workers=4)  # type: ignore[arg-type]
        self.refuses_streams = False
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self._server = uvicorn.Server(
            uvicorn.Config(self._answer, interface="asgi3", log_level="warning", timeout_graceful_shutdown=1)
        )
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]}, daemon=True)
        self._thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not self._server.started:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif self._streams.serves(scope["path"]) and not self.refuses_streams:
            await self._streams(scope, receive, send)
        else:
            await self._pages(scope, receive, send)

    async def _live(self, receive: Any, send: Any) -> None:
        self._loop = asyncio.get_running_loop()
        while (message := await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": f"{message['type']}.complete"})

    @property
    def open_streams(self) -> int:
        return self._streams.open_streams

    def cut(self) -> None:
        """Break every connection, as a lost network does."""
        for connection in list(self._server.server_state.connections):
            self._loop.call_soon_threadsafe(connection.transport.abort)

    def stop(self) -> None:
        if not self._server.should_exit:
            asyncio.run_coroutine_threadsafe(self._streams.hub.stop(), self._loop).result(20)
        self._server.should_exit = True
        self._thread.join(20)


@pytest.fixture
def live_site(live_server: LiveServer, redis_client: object) -> Iterator[LiveSite]:
    """The site with streams, at an address of its own; `sign_in` works for it too."""
    site = LiveSite()
    yield site
    site.stop()
