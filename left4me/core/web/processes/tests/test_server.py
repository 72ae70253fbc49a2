"""The server in one process: it ends without an error for anybody; and how many processes there are."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
import uvicorn

from left4me.core.web import processes
from left4me.core.web.processes.server import Server

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


async def _application(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"] == "/slow":
        await asyncio.sleep(3)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/stream":
        while True:
            await send({"type": "http.response.body", "body": b"more", "more_body": True})
            await asyncio.sleep(0.1)
    await send({"type": "http.response.body", "body": b"here"})


async def _server(listening: socket.socket) -> Server:
    config = uvicorn.Config(_application, lifespan="off", log_level="critical", timeout_graceful_shutdown=1)
    config.load()
    server = Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listening])
    return server


async def _answer_to_who_came_just_before_the_end() -> bytes:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = await _server(listening)
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        while not server.server_state.connections:
            await asyncio.sleep(0.01)
        ending = asyncio.create_task(server.shutdown(sockets=[listening]))
        await asyncio.sleep(0.02)
        writer.write(REQUEST)
        answer = await reader.read()
        await ending
        writer.close()
    return answer


def test_who_has_just_come_is_answered_by_a_web_that_ends():
    answer = asyncio.run(_answer_to_who_came_just_before_the_end())
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"here" in answer


async def _end_while_asked_for(path: str) -> tuple[bytes, float]:
    """The answer to a request that is under way when the server is told to end, and how long the end takes."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = await _server(listening)
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        writer.write(REQUEST.replace(b"GET /", f"GET {path}".encode()))
        while not server.server_state.tasks:
            await asyncio.sleep(0.01)
        began = loop.time()
        ending = asyncio.create_task(server.shutdown(sockets=[listening]))
        answer = await reader.read()
        await ending
        writer.close()
        return answer, loop.time() - began


def test_an_answer_that_takes_longer_than_streams_have_is_awaited():
    answer, _ = asyncio.run(_end_while_asked_for("/slow"))
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"here" in answer


def test_a_stream_is_not_awaited():
    answer, seconds = asyncio.run(_end_while_asked_for("/stream"))
    assert b"more" in answer
    assert seconds < 3


@pytest.mark.parametrize(
    ("runtime", "cores", "gigabytes", "number"),
    [
        ("process", 8, 64, 1),
        ("systemd", 1, 64, 1),
        ("systemd", 2, 8, 2),
        ("systemd", 16, 64, 4),
        ("systemd", 8, 2.1, 2),
        ("systemd", 8, 0.5, 1),
    ],
)
def test_an_installation_has_a_process_for_each_core_and_gigabyte(monkeypatch, runtime, cores, gigabytes, number):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(cores)))
    pages = {"SC_PHYS_PAGES": int(gigabytes * 10**9 / 4096), "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr("os.sysconf", pages.__getitem__)
    assert processes.usual(runtime) == number


def test_a_process_keeps_a_connection_to_the_database_for_each_thread_of_pages_and_streams():
    assert processes.most_database_connections(8) == 12
