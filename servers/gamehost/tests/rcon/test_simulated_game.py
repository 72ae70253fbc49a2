"""Our RCON clients against the simulated game: real processes, real quirks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from servers.gamehost import rcon
from servers.simulated import harness

TIMEOUT = 20.0
Ask = Callable[..., rcon.Answer]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., harness.Sim]]:
    with contextlib.ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(harness.running(tmp_path, args=args, **options))


def by_execute(sim: harness.Sim, command: str, *, timeout: float = TIMEOUT) -> rcon.Answer:
    return rcon.execute("127.0.0.1", sim.port, sim.password, command, timeout=timeout)


def by_client(sim: harness.Sim, command: str, *, timeout: float = TIMEOUT) -> rcon.Answer:
    async def ask() -> rcon.Answer:
        client = rcon.Client("127.0.0.1", sim.port, sim.password)
        try:
            return await client.ask(command, timeout=timeout)
        finally:
            client.close()

    return asyncio.run(ask())


both = pytest.mark.parametrize("ask", [by_execute, by_client])


@both
@pytest.mark.parametrize("quirks", ["", "apart", "single", "no_empty", "no_mirror"])
def test_every_way_of_logging_in_and_ending_an_answer_is_understood(start, ask: Ask, quirks):
    sim = start(env={"SIM_QUIRKS": quirks})
    assert ask(sim, "echo hello") == "hello \n"
    assert ask(sim, "sv_tags quiet") == ""


@both
@pytest.mark.parametrize("chunk", ["1", "999", "3900", "4086"])
def test_an_answer_is_whole_whatever_the_pieces(start, ask: Ask, chunk):
    sim = start("-maxplayers", "32", "+sim_names", "long", "+sim_players", "32", "+sim_chunk", chunk)
    answer = ask(sim, "status")
    assert answer.count(" STEAM_1:") == 32
    assert "�" not in answer
    assert answer.endswith("#end\n")


@both
@pytest.mark.parametrize("command", ["changelevel c1m2_streets", "map c1m2_streets versus", "quit"])
def test_a_command_that_ends_the_conversation_is_sent_and_not_confirmed(start, ask: Ask, command):
    sim = start(env={"SIM_MAP_LOAD_SECONDS": "1"})
    assert not ask(sim, command).confirmed
    if command == "quit":
        assert sim.process.wait(harness.END_SECONDS) == 0
    else:
        assert "map     : c1m2_streets" in ask(sim, "status")


@both
def test_the_servers_own_log_line_comes_along_and_breaks_nothing(start, ask: Ask):
    sim = start(server_cfg="log on")
    assert "#end\nL " in ask(sim, "status")


@both
def test_a_wrong_password_is_offered_once_and_so_never_bans(start, ask: Ask):
    sim = start()
    right, sim.password = sim.password, "wrong"
    for _ in range(12):
        with pytest.raises(rcon.PasswordRefused):
            ask(sim, "status")
    sim.password = right
    assert ask(sim, "echo not banned") == "not banned \n"


@both
def test_a_hanging_server_is_a_timeout_and_a_dead_one_unreachable(start, ask: Ask):
    sim = start()
    sim.send("sim_hang")
    with pytest.raises(rcon.TimedOut):
        ask(sim, "status", timeout=0.5)
    sim.process.kill()
    sim.process.wait()
    with pytest.raises(rcon.Unreachable):
        ask(sim, "status", timeout=0.5)


def test_a_kept_connection_heals_when_a_written_password_cuts_it(start):
    sim = start()

    async def story() -> None:
        client = rcon.Client("127.0.0.1", sim.port, sim.password)
        assert await client.ask("echo before", timeout=TIMEOUT) == "before \n"
        await asyncio.to_thread(by_execute, sim, f'rcon_password "{sim.password}"')
        assert await client.ask("echo after", timeout=TIMEOUT, repeatable=True) == "after \n"
        client.close()

    asyncio.run(story())
