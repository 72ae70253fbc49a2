"""The ASGI application that uvicorn serves: pages by Django's WSGI handler, live streams by a small ASGI application.

A Django streaming response would hold a thread, and after its first query a database connection, as long as a viewer
stays; and synchronous views are slow under Django's own ASGI handler. Therefore pages, streams and the files that
other hosts download and send are separate applications.
"""

from __future__ import annotations

from typing import Any

from a2wsgi import WSGIMiddleware

# Imported first: it sets Django up, which the modules of the streams need.
from left4me.wsgi import application as wsgi

from django.conf import settings  # isort: skip
from left4me.core.web.asgi import room_for_connections  # isort: skip
from left4me.site.middleware import request_log  # isort: skip
from left4me import streams  # isort: skip
from servers.copies.content import application as copies  # isort: skip
from servers.hosts.content import application as content  # isort: skip
from servers.hosts.key_service import application as keys  # isort: skip
from servers.moves.content import application as moves  # isort: skip

live, files = request_log.logged(streams.application), request_log.logged(content)
keys_of_hosts, files_of_servers = request_log.logged(keys), request_log.logged(moves)
copies_of_servers = request_log.logged(copies)
pages = WSGIMiddleware(wsgi, workers=settings.LEFT4ME_WEB_THREADS)  # type: ignore[arg-type]


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Dispatch a connection by its type and path."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
    elif scope["type"] == "http" and streams.application.serves(scope["path"]):
        await live(scope, receive, send)
    elif scope["type"] == "http" and content.serves(scope["path"]):
        await files(scope, receive, send)
    elif scope["type"] == "http" and keys.serves(scope["path"]):
        await keys_of_hosts(scope, receive, send)
    elif scope["type"] == "http" and moves.serves(scope["path"]):
        await files_of_servers(scope, receive, send)
    elif scope["type"] == "http" and copies.serves(scope["path"]):
        await copies_of_servers(scope, receive, send)
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
