"""`uvicorn left4me.content:application` serves other hosts on an own address: overlays, keys, and files of servers.

The web process serves it too. This application is for installations whose web is not reachable from other machines,
and it keeps long transfers out of the web process.
"""

from __future__ import annotations

from typing import Any

# Imported first: it sets Django up, which the rest needs.
from left4me.wsgi import application as _wsgi  # noqa: F401

from servers.copies.content import application as copies  # isort: skip
from servers.hosts.content import application as content  # isort: skip
from servers.hosts.key_service import application as keys  # isort: skip
from servers.moves.content import application as moves  # isort: skip


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Serve content, keys and files of servers; every other path is answered with 404."""
    if scope["type"] == "http":
        served = next((each for each in (keys, moves, copies) if each.serves(scope["path"])), content)
        await served(scope, receive, send)
    elif scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
