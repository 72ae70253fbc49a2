"""Raw asyncio sockets that parse nothing: connected and logged in already, or with all that a first sweep does."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from servers.gamehost.rcon.packets import AUTH, EXECCOMMAND, encode

NAME = "raw sockets"
NAME_OF_FIRST = "raw sockets that connect, and rows by executemany"
# As many as left4me: more simultaneous handshakes overflow the queues of the loopback device.
CONNECTING_AT_ONCE = 200


@dataclass(frozen=True)
class Sweep:
    connected: float  # seconds until all connections stood and were logged in
    healthy: float  # seconds from the question to the last answer
    total: float  # the same, with the wait for those that are silent
    cpu: float


class Raw(asyncio.Protocol):
    def __init__(self) -> None:
        self.waiter: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"\0\0\0\0\0") and self.waiter and not self.waiter.done():
            self.waiter.set_result(None)

    async def exchange(self, data: bytes) -> None:
        self.waiter = asyncio.get_running_loop().create_future()
        self.transport.write(data)  # type: ignore[attr-defined]
        await self.waiter


def sweep(ports: list[int], password: str, *, silent: int, timeout: float) -> Sweep:
    """Connect to all servers, then ask each of them for its status at the same moment."""
    import uvloop

    login = encode(1, AUTH, password.encode())
    question = encode(2, EXECCOMMAND, b"status") + encode(3, EXECCOMMAND, b"")

    async def run() -> Sweep:
        loop = asyncio.get_running_loop()
        began = time.perf_counter()
        raws = [(await loop.create_connection(Raw, "127.0.0.1", port))[1] for port in ports]
        logins = {asyncio.ensure_future(raw.exchange(login)) for raw in raws}
        connected = await _last_answer(logins, began, len(ports) - silent, timeout)
        began, spent = time.perf_counter(), time.process_time()
        questions = {asyncio.ensure_future(raw.exchange(question)) for raw in raws}
        healthy = await _last_answer(questions, began, len(ports) - silent, timeout)
        found = Sweep(connected, healthy, time.perf_counter() - began, time.process_time() - spent)
        for raw in raws:
            raw.transport.abort()  # type: ignore[attr-defined]
        return found

    return uvloop.run(run())


def first_sweep(ports: list[int], password: str, *, silent: int, timeout: float) -> Sweep:
    """Connect, log in and ask, each server for itself; `healthy` is the time until the last answer to all of it."""
    import uvloop

    login = encode(1, AUTH, password.encode())
    question = encode(2, EXECCOMMAND, b"status") + encode(3, EXECCOMMAND, b"")

    async def run() -> Sweep:
        loop = asyncio.get_running_loop()
        connecting = asyncio.Semaphore(CONNECTING_AT_ONCE)

        async def ask(port: int) -> None:
            async with connecting:
                _, raw = await loop.create_connection(Raw, "127.0.0.1", port)
            raws.append(raw)
            await raw.exchange(login)
            await raw.exchange(question)

        raws: list[Raw] = []
        began, spent = time.perf_counter(), time.process_time()
        asked = {asyncio.ensure_future(ask(port)) for port in ports}
        healthy = await _last_answer(asked, began, len(ports) - silent, timeout)
        found = Sweep(healthy, healthy, time.perf_counter() - began, time.process_time() - spent)
        for raw in raws:
            raw.transport.abort()  # type: ignore[attr-defined]
        return found

    return uvloop.run(run())


async def _last_answer(tasks: set[asyncio.Task[None]], began: float, answers: int, timeout: float) -> float:
    """Wait for all until the timeout; return the seconds until the last of so many answers."""
    last = began
    for task in asyncio.as_completed(tasks, timeout=timeout):
        try:
            await task
        except TimeoutError:
            break
        last = time.perf_counter()
    heard = sum(task.done() and not task.cancelled() for task in tasks)
    if heard != answers:
        raise RuntimeError(f"{heard} servers answered instead of {answers}")
    return last - began
