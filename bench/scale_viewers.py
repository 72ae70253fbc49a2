"""People with open pages of servers in bench/scale, each with the log of that server and all that moves on the page.

`python -m bench.scale_viewers SOCKET` opens what it is told over the socket, and reports how late everything came.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections import defaultdict
from multiprocessing.connection import Client
from typing import TYPE_CHECKING

from bench.open_pages import PARTS, NoPage, Page
from bench.scale_table import Seen

if TYPE_CHECKING:
    from bench.scale_site import Visitor

_STATE, _LIVE, _USAGE, _BELL = PARTS
# What a page asks for again, by the kind of the signal: of its own server, and of any that it hears of.
_OF_OWN = {"server": (_STATE, _LIVE, _USAGE), "players": (_STATE, _LIVE), "usage": (_USAGE,)}
_OF_ANY = dict.fromkeys(("server", "overlay", "host", "job"), (_BELL,))
_PAUSE = 1.0
_AT_ONCE = 20


class Viewer(Page):
    """The page of one server with its log: hears signals, and asks again for the parts that they concern."""

    def __init__(self, port: int, visitor: Visitor, seen: list[Seen]) -> None:
        super().__init__(port, visitor.server_id, visitor.cookie, [])
        # The report of the moment: another one begins with the next.
        self._seen = seen
        self._wanted: set[str] = set()
        self._is_wanted = asyncio.Event()
        self._number = 0

    async def ask_what_is_wanted(self) -> None:
        asked_at: defaultdict[str, float] = defaultdict(float)
        while True:
            await self._is_wanted.wait()
            now = time.monotonic()
            due = [path for path in self._wanted if now - asked_at[path] >= _PAUSE]
            if not due:
                await asyncio.sleep(_PAUSE - max(now - asked_at[path] for path in self._wanted))
                continue
            for path in due:
                self._wanted.discard(path)
                asked_at[path] = now
                try:
                    await self.ask(path)
                except NoPage as refusal:
                    self._seen[0].errors.append(str(refusal))
            self._seen[0].answers += self._taken
            self._taken.clear()
            if not self._wanted:
                self._is_wanted.clear()

    async def follow(self, is_connected: asyncio.Future[None]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        since = f"{int(1000 * time.time())}-0"
        writer.write(f"GET /live?last_seq={since}&log={self._server} HTTP/1.1\r\n{self._head}".encode())
        at, kind = 0, b""
        async for line in reader:
            if not is_connected.done():
                if not line.startswith(b"HTTP/1.1 200"):
                    is_connected.set_exception(NoPage(f"/live answered {line[:20]!r}"))
                    return
                is_connected.set_result(None)
            self._seen[0].bytes += len(line)
            if line.startswith(b"id: "):
                at = int(line[4:].partition(b"-")[0])
            elif line.startswith(b"event: "):
                kind = line[7:].strip()
            elif line.startswith(b"data: ") and kind == b"signal":
                self._hear(line[6:].split(), 1000 * time.time() - at)
            elif line.startswith(b"data: ") and kind == b"line":
                self._read(line[6:], 1000 * time.time() - at)
        self._seen[0].errors.append("a stream ended")

    def _hear(self, names: list[bytes], delay: float) -> None:
        self._seen[0].signals += len(names)
        self._seen[0].signal_delays.append(delay)
        for name in names:
            kind, _, number = name.decode().partition(":")
            own = _OF_OWN.get(kind, ()) if number == str(self._server) else ()
            self._wanted.update(own, _OF_ANY.get(kind, ()))
        if self._wanted:
            self._is_wanted.set()

    def _read(self, data: bytes, delay: float) -> None:
        number = int(json.loads(data)["line"].removeprefix("line "))
        if self._number:
            self._seen[0].lines_lost += number - self._number - 1
            self._seen[0].lines += 1
            self._seen[0].line_delays.append(delay)
        self._number = number


async def watch(port: int, visitors: list[Visitor], pipe: object) -> None:
    """Open the pages of all visitors, say so, and report when asked until the pipe is closed."""
    seen = [Seen()]
    tasks = []
    for first in range(0, len(visitors), _AT_ONCE):
        connected = []
        for visitor in visitors[first : first + _AT_ONCE]:
            viewer = Viewer(port, visitor, seen)
            connected.append(asyncio.get_running_loop().create_future())
            tasks.append(asyncio.create_task(viewer.follow(connected[-1])))
            tasks.append(asyncio.create_task(viewer.ask_what_is_wanted()))
        await asyncio.wait_for(asyncio.gather(*connected), 60)
    pipe.send(True)
    while True:
        while not pipe.poll():
            await asyncio.sleep(0.05)
        try:
            pipe.recv()
        except EOFError:
            break
        for task in tasks:
            if task.done() and task.exception() is not None:
                seen[0].errors.append(repr(task.exception()))
        pipe.send(seen[0])
        seen[0] = Seen()
    for task in tasks:
        task.cancel()


def main() -> None:
    pipe = Client(sys.argv[1])
    port, visitors = pipe.recv()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(watch(port, visitors, pipe))


if __name__ == "__main__":
    main()
