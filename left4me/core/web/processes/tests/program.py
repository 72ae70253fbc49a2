"""A web in several processes without Django: `python -m ….tests.program FD PROCESSES SILENT_TICKS STUCK_TICKS`.

An answer is the pid of the process that gives it.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import socket
import sys
import time
from typing import Any

import uvicorn

from left4me.core.web.processes.child import ChildServer
from left4me.core.web.processes.counts import SharedCounts, figures
from left4me.core.web.processes.parent import SHOW_STACKS, Parent

SECONDS = 1.0


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"] == "/slow":
        await asyncio.sleep(SECONDS)
    if scope["path"] == "/stuck":
        time.sleep(600)
    answer = {"/running": figures.running, "/replaced": figures.replacements}.get(scope["path"], os.getpid())
    if scope["path"] == "/count":
        counts.add(number, 0, 1)
        answer = counts.total(0)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(answer).encode()})


if __name__ == "__main__":
    descriptor, processes, silent, stuck = (int(word) for word in sys.argv[1:])
    faulthandler.register(SHOW_STACKS)
    config = uvicorn.Config(application, lifespan="off", log_level="warning", timeout_graceful_shutdown=1, ws="none")
    config.load()
    counts = SharedCounts(processes, 1)
    parent = Parent(
        [socket.socket(fileno=descriptor)], processes, forget=counts.clear, silent_ticks=silent, stuck_ticks=stuck
    )
    process = parent.run()
    if process is not None:
        number, channel = process
        ChildServer(config, channel).run()
