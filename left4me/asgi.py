"""The ASGI application that uvicorn serves: pages by Django's WSGI handler, live streams by a small ASGI application.

A Django streaming response would hold a thread, and after its first query a database connection, as long as a viewer
stays; and synchronous views are slow under Django's own ASGI handler. Therefore pages, streams and the files that
other hosts download are separate applications.
"""

from __future__ import annotations

from typing import Any

from a2wsgi import WSGIMiddleware

# Imported first: it sets Django up, which the modules of the streams need.
from left4me.wsgi import application as wsgi

from left4me.core.web.asgi import room_for_connections  # isort: skip
from left4me.site.middleware import request_log  # isort: skip
from left4me import streams  # isort: skip
from servers.hosts.content import application as content  # isort: skip

live, files = request_log.logged(streams.application), request_log.logged(content)
pages = WSGIMiddleware(wsgi, workers=8)  # type: ignore[arg-type]


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Dispatch a connection by its type and path."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
    elif scope["type"] == "http" and streams.application.serves(scope["path"]):
        await live(scope, receive, send)
    elif scope["type"] == "http" and content.serves(scope["path"]):
        await files(scope, receive, send)
    else:
        await pages(scope, receive, send)


async def _live(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            room = room_for_connections()
            # Pages find a place when streams have taken all of theirs.
            streams.application.limit_streams(room - room // 8)
        if message["type"] == "lifespan.shutdown":
            await streams.application.hub.stop()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
