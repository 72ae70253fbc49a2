from __future__ import annotations

import asyncio
import gc
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from left4me import web
from left4me.core.processes import commands
from left4me.core.web import processes
from left4me.core.web.processes.server import Server
from left4me.testing.whole import REPOSITORY, clean_environment

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
    ("soft", "hard", "raised", "room"), [(256, 256, 256, 128), (256, 4096, 4096, 3968), (64, 64, 64, 32)]
)
def test_the_web_opens_as_many_files_as_it_may_and_keeps_a_reserve(soft, hard, raised, room):
    """In a process of its own: a hard limit can only be lowered."""
    script = (
        f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}));"
        "from left4me.core.web.asgi import room_for_connections;"
        "print(room_for_connections(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    done = commands.run([sys.executable, "-c", script], timeout=60)
    assert done.output.split() == [str(room), str(raised)]


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


def _run(script: str, root: Path) -> str:
    own = {"LEFT4ME_ROOT": str(root), "LEFT4ME_BIND": "127.0.0.1:1", "PYTHONWARNINGS": "ignore"}
    own["CELERY_SKIP_CHECKS"] = "true"
    argv = [sys.executable, "-c", script]
    return commands.run(argv, timeout=120, cwd=REPOSITORY, env=clean_environment() | own).output


def test_nothing_that_a_fork_would_share_is_open_when_the_processes_start(tmp_path):
    """No thread, no connection to the database or Redis, no event loop; neither for the web alone nor for all."""
    script = """
import os, threading
from django.db import connection
from left4me import beat, web, worker

def show():
    held = [f"/proc/self/fd/{each}" for each in os.listdir("/proc/self/fd") if int(each) > 2]
    places = [os.readlink(each) for each in held if os.path.exists(each)]
    print(threading.active_count(), connection.connection, places)

web.load_application()
show()
worker.load_tasks()
beat.app.finalize()
show()
"""
    assert _run(script, tmp_path).splitlines() == ["1 None []"] * 2


def test_a_fork_of_what_is_loaded_serves_that_and_logs_as_all_others(tmp_path):
    script = """
import logging
from left4me import beat, web

class Server:
    def __init__(self, config):
        self.config = config
    def run(self, sockets):
        ours = logging.getLogger("uvicorn.error")
        print(self.config is loaded, ours.handlers, ours.propagate, logging.getLogger("uvicorn").handlers)

web.Server, web._listen = Server, lambda descriptor: []
loaded = web.load_application()
web.main(None, loaded)
console = logging.getLogger().handlers
beat._log_as_all_others()
print(logging.getLogger().handlers == console)
"""
    assert _run(script, tmp_path).splitlines() == ["True [] True []", "True"]


def test_what_a_single_process_has_loaded_is_left_out_of_collections(settings: Any, monkeypatch: pytest.MonkeyPatch):
    frozen: list[int] = []

    class Recorder:
        def __init__(self, config: object) -> None:
            assert config is loaded

        def run(self, *, sockets: object) -> None:
            frozen.append(gc.get_freeze_count())

    loaded: Any = object()
    young = [[] for _ in range(1000)]
    settings.LEFT4ME_WEB_PROCESSES = 1
    monkeypatch.setattr(web, "Server", Recorder)
    monkeypatch.setattr(web, "_listen", lambda descriptor: [])
    before = gc.get_freeze_count()
    web.main(None, loaded)
    assert frozen[0] >= before + len(young)
