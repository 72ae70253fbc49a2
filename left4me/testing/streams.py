"""A viewer of an ASGI application of streams, for tests."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

from left4me.core.web import sse


class Browser:
    """One viewer: opens a stream of the application and reads its events."""

    def __init__(self, application: sse.Application, path: str, *, query: str = "", **headers: str) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.raw = b""
        self.closed = False
        self.slow: asyncio.Event | None = None
        self._changed = asyncio.Condition()
        self._left = asyncio.Event()
        pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": "GET", "path": path, "query_string": query.encode(), "headers": pairs}
        self.task = asyncio.create_task(application(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        if self.slow is not None:
            await self.slow.wait()
        async with self._changed:
            self.status = message.get("status", self.status)
            self.headers |= dict(message.get("headers", []))
            self.raw += message.get("body", b"")
            self.closed = message["type"] == "http.response.body" and not message.get("more_body")
            self._changed.notify_all()

    @property
    def events(self) -> list[SimpleNamespace]:
        found = []
        for block in self.raw.decode().split("\n\n"):
            fields = dict(
                line.split(": ", 1) for line in block.split("\n") if not line.startswith(":") and ": " in line
            )
            if "event" in fields:
                found.append(SimpleNamespace(kind=fields["event"], id=fields.get("id"), data=fields["data"]))
        return found

    @property
    def seqs(self) -> list[int]:
        return [json.loads(event.data)["seq"] for event in self.events if event.kind == "line"]

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(condition)

    async def until_seq(self, seq: int) -> None:
        await self.until(lambda: self.seqs and self.seqs[-1] >= seq)

    async def leave(self) -> None:
        self._left.set()
        await asyncio.wait_for(self.task, 20)
