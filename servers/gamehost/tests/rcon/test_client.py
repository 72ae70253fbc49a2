"""The connection that stays."""

from __future__ import annotations

import asyncio

import pytest

from servers.gamehost import rcon
from servers.gamehost.tests.rcon.scripted import PASSWORD, Quirks, ScriptedServer


def client_of(server: ScriptedServer) -> rcon.Client:
    return rcon.Client("127.0.0.1", server.port, PASSWORD)


def test_many_questions_share_one_connection_and_one_login():
    async def session(server: ScriptedServer) -> None:
        client = client_of(server)
        for number in range(50):
            assert await client.ask(f"echo {number}", timeout=10) == f"ran echo {number}\n"
        client.close()

    with ScriptedServer() as server:
        asyncio.run(session(server))
    assert (server.connections, len(server.logins)) == (1, 1)


def test_questions_asked_at_once_wait_for_each_other():
    async def session(server: ScriptedServer) -> list[str]:
        client = client_of(server)
        answers = await asyncio.gather(*(client.ask(f"echo {number}", timeout=10) for number in range(20)))
        client.close()
        return answers

    with ScriptedServer(Quirks(bytes_per_segment=3)) as server:
        assert asyncio.run(session(server)) == [f"ran echo {number}\n" for number in range(20)]


def test_a_cut_connection_is_made_again_without_a_word():
    async def session(server: ScriptedServer) -> None:
        client = client_of(server)
        for _ in range(3):
            assert await client.ask("status", timeout=10, repeatable=True) == "ran status\n"
            server.hang_up()
        client.close()

    with ScriptedServer() as server:
        asyncio.run(session(server))
    assert len(server.logins) == 3


def test_a_command_that_may_have_run_is_not_repeated():
    async def session(server: ScriptedServer) -> None:
        client = client_of(server)
        await client.ask("status", timeout=10)
        with pytest.raises(rcon.ConnectionLost):
            await client.ask("kickid 3", timeout=10)
        client.close()

    with ScriptedServer(Quirks(hang_up_on=frozenset({"kickid 3"}))) as server:
        asyncio.run(session(server))
    assert server.commands.count("kickid 3") == 1


def test_a_repeatable_command_is_repeated_once_only():
    async def session(server: ScriptedServer) -> None:
        client = client_of(server)
        await client.ask("echo", timeout=10)
        with pytest.raises(rcon.ConnectionLost):
            await client.ask("status", timeout=10, repeatable=True)
        client.close()

    with ScriptedServer(Quirks(hang_up_on=frozenset({"status"}))) as server:
        asyncio.run(session(server))
    assert server.commands.count("status") == 2


def test_after_a_timeout_a_late_answer_does_not_reach_the_next_question():
    async def session(server: ScriptedServer) -> None:
        client = client_of(server)
        server.quirks.answer_after_seconds = 0.6
        with pytest.raises(rcon.TimedOut):
            await client.ask("first", timeout=0.3)
        server.quirks.answer_after_seconds = 0.0
        assert await client.ask("second", timeout=10) == "ran second\n"
        client.close()

    with ScriptedServer() as server:
        asyncio.run(session(server))


def test_a_cancelled_question_leaves_the_client_usable():
    async def session(server: ScriptedServer) -> None:
        client = client_of(server)
        await client.ask("status", timeout=10)
        server.quirks.answer_after_seconds = 0.4
        question = asyncio.create_task(client.ask("first", timeout=10))
        while "first" not in server.commands:
            await asyncio.sleep(0.01)
        question.cancel()
        with pytest.raises(asyncio.CancelledError):
            await question
        server.quirks.answer_after_seconds = 0.0
        assert await client.ask("second", timeout=10) == "ran second\n"
        client.close()

    with ScriptedServer() as server:
        asyncio.run(session(server))


def test_ten_thousand_questions_end_without_an_error():
    async def session(server: ScriptedServer) -> None:
        clients = [client_of(server) for _ in range(10)]

        async def many(client: rcon.Client) -> None:
            for _ in range(1_000):
                assert await client.ask("status", timeout=60, repeatable=True) == "ran status\n"
            client.close()

        await asyncio.gather(*map(many, clients))

    with ScriptedServer() as server:
        asyncio.run(session(server))
    assert len(server.commands) == 10_000
