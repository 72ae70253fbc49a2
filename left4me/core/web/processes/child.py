"""The server in one of the processes: it serves the connections that the parent passes to it."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from types import FrameType
from typing import Any

import uvicorn

from left4me.core.web.processes.channel import ChildEnd, Closed, Report
from left4me.core.web.processes.server import Server

log = logging.getLogger(__name__)


class ChildServer(Server):
    """Ends when the parent says so or is gone."""

    def __init__(self, config: uvicorn.Config, channel: ChildEnd) -> None:
        super().__init__(config)
        self._channel = channel
        self._taken = self._closed = 0
        self._is_leaving = False
        self._connecting: set[asyncio.Task[Any]] = set()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Ctrl-C in a terminal reaches all processes. The parent ends the others in order.
        if sig != signal.SIGINT:
            super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=[])
        self._protocol = self._protocol_that_counts()
        asyncio.get_running_loop().add_reader(self._channel.fileno(), self._take)
        self._report()

    async def on_tick(self, counter: int) -> bool:
        # Also without news: it tells the parent that this process is not stuck.
        self._report()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().remove_reader(self._channel.fileno())
        # The parent gives to others what was not taken.
        self._is_leaving = True
        self._report()
        await super().shutdown(sockets)

    def _take(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            for connection in self._channel.connections():
                self._taken += 1
                if connection is None:
                    log.error("Too many open files: a connection was closed without an answer")
                    self._closed += 1
                    continue
                task = loop.create_task(self._serve_connection(connection))
                self._connecting.add(task)
                task.add_done_callback(self._connecting.discard)
        except Closed:
            loop.remove_reader(self._channel.fileno())
            # As after a signal, but behind the connections that came before it.
            self.handle_exit(signal.SIGTERM, None)
        self._report()

    async def _serve_connection(self, connection: socket.socket) -> None:
        try:
            if connection.family in (socket.AF_INET, socket.AF_INET6):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)
        except OSError:
            # The client has left already.
            connection.close()
            self._note_closed()

    def _protocol_that_counts(self) -> Any:
        base: Any = self.config.http_protocol_class
        note_closed = self._note_closed

        class Counted(base):  # type: ignore[misc]
            def connection_lost(self, exc: Exception | None) -> None:
                super().connection_lost(exc)
                note_closed()

        def make() -> asyncio.Protocol:
            protocol: asyncio.Protocol = Counted(
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            )
            return protocol

        return make

    def _note_closed(self) -> None:
        self._closed += 1
        self._report()

    def _report(self) -> None:
        self._channel.report(Report(self._taken, self._closed, self._is_leaving))
