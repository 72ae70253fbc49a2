from __future__ import annotations

import asyncio
import socket
from typing import Any

import uvicorn

from left4me.web import Server

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


async def _application(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"here"})


async def _answer_to_who_came_just_before_the_end() -> bytes:
    config = uvicorn.Config(_application, lifespan="off", log_level="warning")
    config.load()
    server = Server(config)
    server.lifespan = config.lifespan_class(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        await server.startup(sockets=[listening])
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
