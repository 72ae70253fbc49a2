"""`uvicorn left4me.content:application`: gives overlays' content to other hosts, on an address of its own.

The web does the same below its own address; this one is for installations whose web is not reachable from other
machines, and keeps long transfers out of it.
"""

from __future__ import annotations

from typing import Any

# First: it sets Django up, which the rest needs.
from left4me.wsgi import application as _wsgi  # noqa: F401

from servers.hosts.content import application as content  # isort: skip


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answer 404 to everything but content."""
    if scope["type"] == "http":
        await content(scope, receive, send)
    elif scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
