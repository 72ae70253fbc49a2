"""Polls many servers over RCON concurrently. Takes endpoints and returns results; knows neither rows nor Django.

Connections stay open between sweeps. A slow or silent server does not delay the others, and is polled less and
less often until it answers again.
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
# Results come in batches, so that answers are written while silent servers are still being waited for.
BATCH_SECONDS = 0.12
# A thousand simultaneous handshakes overflow listen queues. Open connections do not count against this limit.
CONNECTING_AT_ONCE = 200
PATIENT_FAILURES = 2
LONGEST_PAUSE_SECONDS = 30.0


class Reason(StrEnum):
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    TIMED_OUT = "timed_out"
    GARBLED = "garbled"  # a protocol error, no status, or a truncated one: proves nothing about the players


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Address and password of a server. A new `generation` is a new start of the game and needs a new connection."""

    server_id: int
    host: str
    port: int
    password: str
    generation: Hashable = None


@dataclass(frozen=True, slots=True)
class Answered:
    server_id: int
    status: Status
    seconds: float | None = None  # that the answer took, without connecting


@dataclass(frozen=True, slots=True)
class Unanswered:
    server_id: int
    reason: Reason
    message: str


Result = Answered | Unanswered


class _Watched:
    """A server's state between sweeps: its connection, its failed polls in a row, and when it is due again."""

    __slots__ = ("client", "due_at", "endpoint", "failures")

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.client = rcon.Client(endpoint.host, endpoint.port, endpoint.password)
        self.failures = 0
        self.due_at = 0.0


class Poller:
    """Runs sweeps on one event loop, one at a time, and keeps connections between them."""

    def __init__(self, *, timeout: float, period: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._timeout = timeout
        self._period = period
        self._monotonic = monotonic
        self._watched: dict[int, _Watched] = {}

    async def sweep(self, endpoints: Iterable[Endpoint]) -> AsyncIterator[list[Result]]:
        """Poll the servers that are due and yield their results in batches as they come.

        Connections to servers that are not among the endpoints are closed.
        """
        self._update_watched(endpoints)
        now = self._monotonic()
        connecting = asyncio.Semaphore(CONNECTING_AT_ONCE)
        pending = {
            asyncio.create_task(self._poll(watched, connecting))
            for watched in self._watched.values()
            if watched.due_at <= now
        }
        try:
            while pending:
                done, pending = await asyncio.wait(pending, timeout=BATCH_SECONDS)
                if done:
                    yield [task.result() for task in done]
        finally:
            for task in pending:
                task.cancel()

    def close(self) -> None:
        for watched in self._watched.values():
            watched.client.close()
        self._watched.clear()

    def _update_watched(self, endpoints: Iterable[Endpoint]) -> None:
        by_server = {endpoint.server_id: endpoint for endpoint in endpoints}
        for server_id, watched in list(self._watched.items()):
            endpoint = by_server.get(server_id)
            if endpoint == watched.endpoint:
                continue
            # Stopped, restarted, or with another address or password: the connection is of no more use.
            watched.client.close()
            del self._watched[server_id]
            if endpoint is not None and endpoint.generation != watched.endpoint.generation:
                # A game that is still starting refuses every password until its server.cfg has run.
                rcon.forget(endpoint.host, endpoint.port)
        for server_id, endpoint in by_server.items():
            if server_id not in self._watched:
                self._watched[server_id] = _Watched(endpoint)

    async def _poll(self, watched: _Watched, connecting: asyncio.Semaphore) -> Result:
        try:
            if watched.client.connected:
                result = await self._ask(watched)
            else:
                async with connecting:
                    result = await self._ask(watched)
        except Exception as error:  # an unexpected error with one server must not end the sweep of the others
            logger.exception("Polling server %s failed", watched.endpoint.server_id)
            result = Unanswered(watched.endpoint.server_id, Reason.GARBLED, f"{type(error).__name__}: {error}")
        self._schedule(watched, answered=isinstance(result, Answered))
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
            return Unanswered(server_id, Reason.GARBLED, "The response was incomplete.")
        return Answered(server_id, status, watched.client.answered_in)

    def _schedule(self, watched: _Watched, *, answered: bool) -> None:
        watched.failures = 0 if answered else watched.failures + 1
        if watched.failures > PATIENT_FAILURES:
            pause = self._period * 2 ** min(watched.failures - PATIENT_FAILURES, 10)
            # Minus half a period, so that a sweep that starts slightly before the pause is over polls the server.
            watched.due_at = self._monotonic() + min(pause, LONGEST_PAUSE_SECONDS) - self._period / 2


class PollingThread:
    """A poller on an event loop in its own thread, for synchronous callers."""

    def __init__(self, *, timeout: float, period: float) -> None:
        self._poller = Poller(timeout=timeout, period=period)
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="poller", daemon=True)
        self._thread.start()

    def sweep(self, endpoints: Iterable[Endpoint]) -> Iterator[list[Result]]:
        """Yields the batches of `Poller.sweep`; polling continues while the caller writes a batch."""
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
        async def disconnect() -> None:
            self._poller.close()
            await asyncio.sleep(0)  # transports are closed in the next iteration of the loop

        asyncio.run_coroutine_threadsafe(disconnect(), self._loop).result(timeout=5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._loop.close()
