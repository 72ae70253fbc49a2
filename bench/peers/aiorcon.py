"""aiorcon: an RCON client for asyncio that reads answers of several packets."""

from __future__ import annotations

import asyncio

import uvloop
from aiorcon import RCON

from bench.peers import questions


def ask(port: int, password: str, count: int) -> int:
    async def run() -> int:
        connection = await RCON.create("127.0.0.1", port, password, asyncio.get_running_loop())
        shortest = min([len(await connection("status")) for _ in range(count)])
        connection.close()
        return shortest

    return uvloop.run(run())


if __name__ == "__main__":
    questions.main(ask, smallest=800)
