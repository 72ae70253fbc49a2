"""Print how fast live lines reach 1,000 viewers of a job that logs 10 lines a second, and what a viewer costs.

It is measured once more while another program uses all of one core. For comparison, a tenth as many viewers follow the
same job through a plain Django streaming view. The time of delivery runs from the call that logs the line to its
arrival at the viewer. The viewers run in a process of their own.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from multiprocessing.connection import Connection
from pathlib import Path

from bench import figures, stack
from bench.figures import Figure
from bench.idle import cpu_seconds

VIEWERS = int(os.environ.get("BENCH_VIEWERS", "1000"))
SECONDS = int(os.environ.get("BENCH_SECONDS", "20"))
_PER_SECOND = 10
_BUSY = "left4me, a core busy"
os.environ["LEFT4ME_STREAMS_PER_USER"] = str(2 * VIEWERS)


class Viewer(asyncio.Protocol):
    """Reads a stream as cheaply as can be and looks at it afterwards, so that what is measured is the server."""

    def __init__(self, request: bytes) -> None:
        self.request = request
        self.first = asyncio.get_running_loop().create_future()
        self._came: list[tuple[float, bytes]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.write(self.request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._came.append((time.time(), data))
        if b"id: " in data and not self.first.done():
            self.first.set_result(None)

    def lines(self, *, since: float) -> tuple[list[int], list[float]]:
        """The numbers of all lines, and how long each took that was logged after `since`."""
        seqs, delays, rest = [], [], b""
        for at, data in self._came:
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                if line.startswith(b"id: "):
                    seqs.append(int(line[4:]))
                elif line.startswith(b'data: {"seq"'):
                    said = line.rpartition(b'"created_at":')[2].split(b'"')[1].decode()
                    logged = datetime.fromisoformat(said).timestamp()
                    delays += [at - logged] if logged >= since else []
        return seqs, delays

    def connection_lost(self, error: Exception | None) -> None:
        if not self.first.done():
            self.first.set_exception(error or ConnectionError("closed before the first line"))


def watch(port: int, path: str, cookie: str, count: int, pipe: Connection) -> None:
    """In a process of its own: connect all viewers, say so, watch, report."""
    import uvloop

    async def run() -> None:
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\n\r\n".encode()
        loop = asyncio.get_running_loop()
        began = time.monotonic()
        viewers: list[Viewer] = []
        for first in range(0, count, 50):
            some = [
                loop.create_connection(lambda: Viewer(request), "127.0.0.1", port)
                for _ in range(min(50, count - first))
            ]
            batch = [protocol for _, protocol in await asyncio.gather(*some)]
            await asyncio.gather(*(asyncio.wait_for(viewer.first, 60) for viewer in batch))
            viewers += batch
        connected = time.monotonic() - began
        pipe.send(connected)
        since = time.time() + 1
        await asyncio.sleep(1 + SECONDS)
        pipe.send([viewer.lines(since=since) for viewer in viewers])

    # It keeps all that it receives, through which the collector would look again and again.
    gc.disable()
    uvloop.run(run())


def memory_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


def threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


@contextmanager
def busy_core() -> Iterator[None]:
    """Let another program use all of one core, as games do on the machine of a real installation."""
    program = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        program.kill()
        program.wait()


def measure(name: str, application: str, path: str, cookie: str, count: int) -> None:
    import urllib.request

    process, port = stack.web(application)
    # One stream before, so that what all viewers share is not counted as theirs.
    warm = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Cookie": cookie})
    with urllib.request.urlopen(warm, timeout=30) as answer:
        answer.read(100)
    time.sleep(1)
    before = memory_kb(process.pid)
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    viewers = context.Process(target=watch, args=(port, path, cookie, count, theirs), daemon=True)
    viewers.start()
    connected = mine.recv()
    time.sleep(SECONDS / 2)
    began, cpu = time.monotonic(), cpu_seconds(process.pid)
    after, held = memory_kb(process.pid), threads(process.pid)
    time.sleep(SECONDS / 4)
    share = (cpu_seconds(process.pid) - cpu) / (time.monotonic() - began)
    seen = mine.recv()
    viewers.join()
    delays = [1000 * delay for _, some in seen for delay in some]
    doubled = sum(len(seqs) - len(set(seqs)) for seqs, _ in seen)
    lost = sum(seqs[-1] - seqs[0] + 1 - len(set(seqs)) for seqs, _ in seen)
    p50, p99, each = stack.percentile(delays, 0.5), stack.percentile(delays, 0.99), (after - before) / count
    who = figures.US if count == VIEWERS else f"{name}, {count} viewers"
    work = f"{VIEWERS:,} viewers, {_PER_SECOND} lines a second{', a core busy' if name == _BUSY else ''}"
    figures.record(
        f"{name:<28}{count:8}{each:10.1f}{held:9}{connected:10.1f}{100 * share:8.0f}"
        f"{p50:9.0f}{p99:9.0f}{lost:7}{doubled:8}",
        Figure("sse", f"{work}: p50", p50, "ms", who),
        Figure("sse", f"{work}: p99", p99, "ms", who),
        Figure("sse", f"{work}: memory of each", each, "kB", who),
        Figure("sse", f"{work}: CPU", 100 * share, "% of one core", who),
        Figure("sse", f"{work}: lines lost", lost, "lines", who),
    )
    stack.kill(process)


def main() -> int:
    stack.prepare()
    stack.redis()
    worker = stack.worker()
    from django.conf import settings
    from django.contrib.auth import get_user_model
    from django.test import Client

    from left4me.jobs import actions
    from left4me.jobs.models import Job

    user = get_user_model().objects.create(username="bench", is_admin=True)
    client = Client()
    client.force_login(user)
    cookie = f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"
    header = ("viewers", "kB each", "threads", "connect s", "CPU %", "p50 ms", "p99 ms", "lost", "doubled")
    print(f"{'':<28}" + "".join(f"{word:>{w}}" for word, w in zip(header, (8, 10, 9, 10, 8, 9, 9, 7, 8), strict=True)))
    ways = [
        ("left4me", stack.WEB, VIEWERS),
        (_BUSY, stack.WEB, VIEWERS),
        # A thousand would not be connected within minutes on two cores.
        ("plain Django", "bench.peers.plain_stream:application", VIEWERS // 10),
    ]
    for number, (name, application, count) in enumerate(ways, 1):
        job = actions.request(
            operation="diagnostic", resource=f"diagnostic:{number}", by=user, host="local",
            params={"lines": 1_000_000, "interval": 1 / _PER_SECOND},
        )  # fmt: skip
        stack.until(lambda job=job: Job.objects.get(pk=job.pk).last_seq > 3, what="the first lines")
        with busy_core() if name == _BUSY else nullcontext():
            measure(name, application, f"/jobs/{job.pk}/stream", cookie, count)
        actions.cancel(job=job, by=None)
        stack.until(lambda job=job: Job.objects.get(pk=job.pk).has_ended, what="the end")
    stack.kill(worker)
    return 0


if __name__ == "__main__":
    sys.exit(main())
