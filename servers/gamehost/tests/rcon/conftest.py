from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest

from servers.gamehost import rcon
from servers.gamehost.rcon import guard
from servers.gamehost.tests.rcon.scripted import PASSWORD, ScriptedServer

Face = Callable[..., str]


@pytest.fixture(autouse=True)
def _no_refusals_remembered() -> Iterator[None]:
    guard.forget_all()
    yield
    guard.forget_all()


def _blocking(server: ScriptedServer, command: str, *, password: str = PASSWORD, timeout: float = 10) -> str:
    return rcon.execute("127.0.0.1", server.port, password, command, timeout=timeout)


def _asyncio(server: ScriptedServer, command: str, *, password: str = PASSWORD, timeout: float = 10) -> str:
    async def once() -> str:
        client = rcon.Client("127.0.0.1", server.port, password)
        try:
            return await client.ask(command, timeout=timeout)
        finally:
            client.close()

    return asyncio.run(once())


@pytest.fixture(params=[_blocking, _asyncio], ids=["blocking", "asyncio"])
def ask(request: pytest.FixtureRequest) -> Face:
    """Both faces of the client: what holds for one holds for the other."""
    return request.param
