"""Uvicorn's server, which stops without resetting connections, and sleeps while nobody asks.

On shutdown, uvicorn closes idle connections at once, including one that was just accepted and whose request has not
arrived yet. That client would get an error during an upgrade. While it runs, it wakes up ten times a second to look
whether it shall end.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from types import FrameType
from typing import Final

import uvicorn

# Longer than a request takes to follow its connection. New connections queue in the socket during this time.
_SECONDS_FOR_THE_FIRST_WORD: Final = 0.3
# For pages whose answers are still being made; with the other two well within the unit's TimeoutStopSec.
_SECONDS_FOR_ANSWERS: Final = 8
# For the header Date, which uvicorn makes at every tenth of its ticks.
_TICK_SECONDS: Final = 1.0
_TICKS: Final = 10


class Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ends = asyncio.Event()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._ends.set)

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        counter = 0
        while not await self.on_tick(counter):
            counter += _TICKS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK_SECONDS):
                    await self._ends.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        await asyncio.sleep(_SECONDS_FOR_THE_FIRST_WORD)
        await self._wait_for_answers()
        await super().shutdown(sockets)

    async def _wait_for_answers(self) -> None:
        """Wait until every request has an answer that has begun: uvicorn ends the others with a 500.

        A web that has just started on a busy machine may hold hundreds, which waited in the socket for it.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _SECONDS_FOR_ANSWERS
        while self._is_asked() and loop.time() < deadline:
            await asyncio.sleep(0.05)

    def _is_asked(self) -> bool:
        cycles = [getattr(connection, "cycle", None) for connection in self.server_state.connections]
        return any(cycle is not None and not (cycle.response_started or cycle.disconnected) for cycle in cycles)
