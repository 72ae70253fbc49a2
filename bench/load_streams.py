"""Many live streams in a process of their own, some of which never read (see bench/load)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from urllib.parse import urlsplit

_ONE_IN = 20
_AT_ONCE = 20


class Stream(asyncio.Protocol):
    """Counts lines as cheaply as can be, so that what is measured is the server."""

    def __init__(self, request: bytes, *, reads: bool) -> None:
        self._request = request
        self.reads = reads
        self.lines = 0
        self.is_open = True
        self.answered = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] -- uvloop's is one
        transport.write(self._request)
        if not self.reads:
            transport.pause_reading()
            self.answered.set_result(True)

    def data_received(self, data: bytes) -> None:
        if not self.answered.done():
            self.answered.set_result(data.startswith(b"HTTP/1.1 200"))
        self.lines += data.count(b"data: ")

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        if not self.answered.done():
            self.answered.set_result(False)


def watch(base: str, wanted: Sequence[tuple[str, str]], pipe: Connection) -> None:
    """Open a stream for each path and cookie, say so, watch until told, and report the lines and the streams lost."""
    import uvloop

    async def run() -> None:
        address = urlsplit(base)
        loop = asyncio.get_running_loop()
        began = time.monotonic()
        streams: list[Stream] = []
        for first in range(0, len(wanted), _AT_ONCE):
            batch = []
            for number, (path, cookie) in enumerate(wanted[first : first + _AT_ONCE], start=first):
                request = f"GET {path} HTTP/1.1\r\nHost: {address.netloc}\r\nCookie: {cookie}\r\n\r\n".encode()
                stream = Stream(request, reads=number % _ONE_IN != 0)
                await loop.create_connection(lambda stream=stream: stream, address.hostname, address.port)
                batch.append(stream)
            await asyncio.wait_for(asyncio.gather(*(stream.answered for stream in batch)), 60)
            streams += batch
        refused = sum(not stream.answered.result() for stream in streams)
        if refused:
            print(f"  {refused} streams were refused", flush=True)
        pipe.send(time.monotonic() - began)
        while not pipe.poll():
            await asyncio.sleep(0.2)
        reading = [stream for stream in streams if stream.reads]
        pipe.send((sum(stream.lines for stream in reading), sum(not stream.is_open for stream in reading)))

    uvloop.run(run())
