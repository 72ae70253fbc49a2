"""Asks many servers for their status at once: endpoints in, results out; no rows, no Django.

Connections stay open between sweeps. A slow or silent server costs nobody else anything, and less and less of
ours: it is asked more seldom until it answers again.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import uvloop

from livestate.status import NotStatus, Status, parse_status
from servers.gamehost import rcon

logger = logging.getLogger(__name__)

COMMAND = "status"
# Results are handed on in batches, so that the answers of the healthy are written while the silent are waited for.
FIRST_BATCH_SECONDS = 0.12
BATCH_SECONDS = 0.3
# A thousand simultaneous handshakes overflow listen queues; already open connections are not held back.
CONNECTING_AT_ONCE = 200
PATIENT_FAILURES = 2
LONGEST_PAUSE_SECONDS = 30.0


class Reason(StrEnum):
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    TIMED_OUT = "timed_out"
    GARBLED = "garbled"  # not the protocol, not a status, or cut off: tells nothing about who is on


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where and how to ask. A new `generation` is another start of the game: what was learnt about it is void."""

    server_id: int
    host: str
    port: int
    password: str
    generation: Hashable = None


@dataclass(frozen=True, slots=True)
class Answered:
    server_id: int
    status: Status


@dataclass(frozen=True, slots=True)
class Unanswered:
    server_id: int
    reason: Reason
    message: str


Result = Answered | Unanswered


class _Watched:
    """One server between sweeps: its connection, and how long it has been silent."""

    __slots__ = ("client", "due_at", "endpoint", "failures")

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.client = rcon.Client(endpoint.host, endpoint.port, endpoint.password)
        self.failures = 0
        self.due_at = 0.0


class Poller:
    """Lives on one event loop, from sweep to sweep; one sweep at a time."""

    def __init__(self, *, timeout: float, period: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._timeout = timeout
        self._period = period
        self._monotonic = monotonic
        self._watched: dict[int, _Watched] = {}

    async def sweep(self, endpoints: Iterable[Endpoint]) -> AsyncIterator[list[Result]]:
        """Yields each due server's result, in batches as they come; servers not named are let go of."""
        self._adopt(endpoints)
        now = self._monotonic()
        connecting = asyncio.Semaphore(CONNECTING_AT_ONCE)
        pending = {
            asyncio.create_task(self._poll(watched, connecting))
            for watched in self._watched.values()
            if watched.due_at <= now
        }
        seconds = FIRST_BATCH_SECONDS
        try:
            while pending:
                done, pending = await asyncio.wait(pending, timeout=seconds)
                seconds = BATCH_SECONDS
                if done:
                    yield [task.result() for task in done]
        finally:
            for task in pending:
                task.cancel()

    def close(self) -> None:
        for watched in self._watched.values():
            watched.client.close()
        self._watched.clear()

    def _adopt(self, endpoints: Iterable[Endpoint]) -> None:
        wanted = {endpoint.server_id: endpoint for endpoint in endpoints}
        for server_id, watched in list(self._watched.items()):
            endpoint = wanted.get(server_id)
            if endpoint == watched.endpoint:
                continue
            watched.client.close()
            del self._watched[server_id]
            if endpoint is not None and endpoint.generation != watched.endpoint.generation:
                # A game that is still starting refuses every password until its server.cfg has run.
                rcon.forget(endpoint.host, endpoint.port)
        for server_id, endpoint in wanted.items():
            if server_id not in self._watched:
                self._watched[server_id] = _Watched(endpoint)

    async def _poll(self, watched: _Watched, connecting: asyncio.Semaphore) -> Result:
        try:
            if watched.client.connected:
                result = await self._ask(watched)
            else:
                async with connecting:
                    result = await self._ask(watched)
        except Exception as error:  # one server's surprise must not end the sweep of the others
            logger.exception("Polling server %s failed", watched.endpoint.server_id)
            result = Unanswered(watched.endpoint.server_id, Reason.GARBLED, f"{type(error).__name__}: {error}")
        self._note(watched, answered=isinstance(result, Answered))
        return result

    async def _ask(self, watched: _Watched) -> Result:
        server_id = watched.endpoint.server_id
        try:
            text = await watched.client.ask(COMMAND, timeout=self._timeout, repeatable=True)
            status = parse_status(text)
        except rcon.PasswordRefused as error:
            return Unanswered(server_id, Reason.REFUSED, str(error))
        except rcon.TimedOut as error:
            return Unanswered(server_id, Reason.TIMED_OUT, str(error))
        except rcon.Unreachable as error:
            return Unanswered(server_id, Reason.UNREACHABLE, str(error))
        except (rcon.RconError, NotStatus) as error:
            return Unanswered(server_id, Reason.GARBLED, str(error))
        if not status.complete:
            return Unanswered(server_id, Reason.GARBLED, "The answer was cut off.")
        return Answered(server_id, status)

    def _note(self, watched: _Watched, *, answered: bool) -> None:
        watched.failures = 0 if answered else watched.failures + 1
        if watched.failures > PATIENT_FAILURES:
            pause = self._period * 2 ** min(watched.failures - PATIENT_FAILURES, 10)
            # Half a period less: the sweep that comes just before the pause is over counts as after it.
            watched.due_at = self._monotonic() + min(pause, LONGEST_PAUSE_SECONDS) - self._period / 2


class PollingThread:
    """A poller on an event loop in a thread of its own, for callers who block."""

    def __init__(self, *, timeout: float, period: float) -> None:
        self._poller = Poller(timeout=timeout, period=period)
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="poller", daemon=True)
        self._thread.start()

    def sweep(self, endpoints: Iterable[Endpoint]) -> Iterator[list[Result]]:
        """Yields what `Poller.sweep` yields; the network goes on while the caller writes a batch."""
        batches: queue.SimpleQueue[list[Result] | None] = queue.SimpleQueue()

        async def feed() -> None:
            try:
                async for batch in self._poller.sweep(endpoints):
                    batches.put(batch)
            finally:
                batches.put(None)

        future = asyncio.run_coroutine_threadsafe(feed(), self._loop)
        try:
            while (batch := batches.get()) is not None:
                yield batch
            future.result()
        finally:
            future.cancel()

    def close(self) -> None:
        async def hang_up() -> None:
            self._poller.close()
            await asyncio.sleep(0)  # transports are closed in the round after

        asyncio.run_coroutine_threadsafe(hang_up(), self._loop).result(timeout=5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._loop.close()
