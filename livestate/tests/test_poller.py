from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Iterator

import pytest

from livestate import poller as server_poller
from livestate.poller import Answered, Endpoint, Poller, PollingThread, Reason, Result, Unanswered
from livestate.tests.answers import Person, status_text
from servers.gamehost.process.runtime import ProcessRuntime
from servers.gamehost.rcon import guard
from servers.gamehost.tests.i386 import game
from servers.gamehost.tests.rcon.scripted import PASSWORD, Quirks, ScriptedServer
from servers.gamehost.tests.stage import Stage, open_directory, wait_until

GOOD = status_text([Person(101)]).encode()


@pytest.fixture(autouse=True)
def _no_refusals_remembered() -> Iterator[None]:
    guard.forget_all()
    yield
    guard.forget_all()


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def quirks(**details: object) -> Quirks:
    return Quirks(answers={"status": GOOD}, **details)  # type: ignore[arg-type]


def endpoint(server: ScriptedServer, server_id: int = 1, **details: object) -> Endpoint:
    return Endpoint(server_id, "127.0.0.1", server.port, PASSWORD, **details)  # type: ignore[arg-type]


async def collect(poller: Poller, *endpoints: Endpoint) -> list[Result]:
    return [result async for batch in poller.sweep(endpoints) for result in batch]


def sweeps(
    endpoints: list[Endpoint], *, count: int = 1, clock: Clock | None = None, timeout: float = 5
) -> list[list[Result]]:
    """`count` sweeps, a period of 5 s apart on the given clock."""

    async def session() -> list[list[Result]]:
        poller = Poller(timeout=timeout, period=5, monotonic=clock or Clock())
        results = []
        for _ in range(count):
            results.append(await collect(poller, *endpoints))
            if clock:
                clock.now += 5
        poller.close()
        return results

    return asyncio.run(session())


def test_all_servers_are_asked_and_their_connections_kept():
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(ScriptedServer(quirks())) for _ in range(8)]
        endpoints = [endpoint(server, number) for number, server in enumerate(servers)]
        for results in sweeps(endpoints, count=3):
            assert sorted(result.server_id for result in results) == list(range(8))
            assert all(isinstance(result, Answered) and len(result.status.people) == 1 for result in results)
        assert {server.connections for server in servers} == {1}


def test_a_silent_server_delays_nobody():
    async def session(silent: ScriptedServer, healthy: ScriptedServer) -> list[list[Result]]:
        poller = Poller(timeout=1.5, period=5)
        batches = [batch async for batch in poller.sweep([endpoint(silent, 1), endpoint(healthy, 2)])]
        poller.close()
        return batches

    with ScriptedServer(Quirks(silent_on=frozenset({"status"}))) as silent, ScriptedServer(quirks()) as healthy:
        first, *_, last = asyncio.run(session(silent, healthy))
    assert [(type(result), result.server_id) for result in first] == [(Answered, 2)]
    (result,) = last
    assert isinstance(result, Unanswered)
    assert (result.server_id, result.reason) == (1, Reason.TIMED_OUT)


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (Quirks(banned=True), Reason.UNREACHABLE),
        (Quirks(password="other"), Reason.REFUSED),
        (Quirks(garbage=b"HTTP/1.1 400 Bad Request"), Reason.GARBLED),
        (Quirks(answers={"status": b'Unknown command "status"'}), Reason.GARBLED),
        (Quirks(answers={"status": GOOD[:-8]}), Reason.GARBLED),
        (Quirks(answers={"status": b""}), Reason.GARBLED),
    ],
)
def test_each_failure_has_its_reason(behaviour, reason):
    with ScriptedServer(behaviour) as server:
        ((result,),) = sweeps([endpoint(server)])
    assert isinstance(result, Unanswered)
    assert result.reason is reason


def test_who_stays_silent_is_asked_more_and_more_seldom_and_at_full_rate_once_back():
    clock = Clock()

    async def session(server: ScriptedServer) -> list[int]:
        poller = Poller(timeout=5, period=5, monotonic=clock)
        asked = []
        for second in range(0, 300, 5):
            if await collect(poller, endpoint(server)):
                asked.append(second)
            server.quirks.banned = second < 200
            clock.now += 5
        poller.close()
        return asked

    with ScriptedServer(quirks(banned=True)) as server:
        asked = asyncio.run(session(server))
    assert asked[:6] == [0, 5, 10, 20, 40, 70]
    pauses = [after - before for before, after in itertools.pairwise(asked)]
    assert max(pauses) == 30
    back = next(number for number, second in enumerate(asked) if second > 200)
    assert pauses[back:] == [5] * len(pauses[back:])
    assert asked[back] <= 230


def test_a_refused_password_is_offered_once_until_the_game_is_started_anew():
    clock = Clock()

    async def session(server: ScriptedServer) -> None:
        poller = Poller(timeout=5, period=5, monotonic=clock)
        for _ in range(20):
            await collect(poller, endpoint(server, generation="first start"))
            clock.now += 60
        assert server.logins == [PASSWORD]
        server.quirks.password = PASSWORD
        (result,) = await collect(poller, endpoint(server, generation="second start"))
        assert isinstance(result, Answered)
        poller.close()

    with ScriptedServer(quirks(password="not set yet")) as server:
        asyncio.run(session(server))


def test_a_server_that_is_no_longer_named_is_let_go():
    async def session(server: ScriptedServer) -> None:
        poller = Poller(timeout=5, period=5)
        await collect(poller, endpoint(server))
        assert await collect(poller) == []
        await collect(poller, endpoint(server))
        poller.close()

    with ScriptedServer(quirks()) as server:
        asyncio.run(session(server))
        assert server.connections == 2


def test_a_connection_cut_at_a_map_load_is_no_failure():
    async def session(server: ScriptedServer) -> None:
        poller = Poller(timeout=5, period=5)
        for _ in range(5):
            (result,) = await collect(poller, endpoint(server))
            assert isinstance(result, Answered)
            server.hang_up()
        poller.close()

    with ScriptedServer(quirks()) as server:
        asyncio.run(session(server))


def test_one_servers_surprise_does_not_end_the_sweep(monkeypatch, caplog):
    def broken(text: str) -> None:
        raise RuntimeError("a fault of ours")

    with ScriptedServer(quirks()) as server:
        monkeypatch.setattr(server_poller, "parse_status", broken)
        ((result,),) = sweeps([endpoint(server)])
    assert isinstance(result, Unanswered)
    assert "a fault of ours" in result.message


def test_the_thread_hands_out_the_same_and_can_be_asked_again():
    thread = PollingThread(timeout=5, period=5)
    try:
        with ScriptedServer(quirks()) as server:
            for _ in range(3):
                batches = list(thread.sweep([endpoint(server)]))
                assert [type(result) for batch in batches for result in batch] == [Answered]
            assert list(thread.sweep([])) == []
            assert server.connections == 1
    finally:
        thread.close()


@pytest.mark.i386
def test_a_32_bit_game_in_its_sandbox_is_polled():
    with open_directory() as base:
        stage = Stage(base / "root", ProcessRuntime(root=base / "root"))
        game.build(base / "tree")
        game.lay(base / "tree", stage)
        spec = game.spec(stage)
        try:
            stage.runtime.start(spec)
            wait_until(lambda: game.answers(spec))
            [[result]] = sweeps([Endpoint(1, "127.0.0.1", spec.port, game.PASSWORD)])
        finally:
            stage.clear()
    assert isinstance(result, Answered)
    assert [(person.name, person.steamid64) for person in result.status.people] == [("Ellis", "76561197960275150")]
