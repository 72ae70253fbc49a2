"""Print what open server pages cost while nobody clicks: requests per second, and the web's share of one core.

As many pages as `--open` says (200), each of a server of its own, of twenty owners with a session each. First they are
told what changed and ask for it, as they do now: while nothing changes, and while one server changes every second.
Then they ask every few seconds, as they did before. Intervals are those of the page's scripts.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import random
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection

from bench import figures, stack
from bench.figures import Figure
from bench.idle import cpu_seconds
from bench.load_site import cookie_of

SECONDS = float(os.environ.get("BENCH_SECONDS", "60"))
OWNERS = 20

Pages = Sequence[tuple[int, str]]  # the id of a server, and the cookie of its owner
Intervals = dict[str, float]

# The parts of a server's page, with how often it asked for them, and asks for them now although nothing changed.
PARTS = ("/servers/{}/state?tab=overview", "/servers/{}/live-state?brief", "/servers/{}/resources", "/bell")
_CHARTS = "/api/v1/servers/{}/figures?range=24h"
BEFORE = {**dict.fromkeys(PARTS[:3], 5.0), PARTS[3]: 20.0, _CHARTS: 15.0}
NOW = {**dict.fromkeys(PARTS, 900.0), _CHARTS: 300.0}
# What a page asks for when the state of its server changed.
_CHANGED = PARTS


class NoPage(Exception):
    """The web answered something else than a page."""


class Page:
    """One open page: a connection that it asks on and, if it is told what changed, the one that it listens on."""

    def __init__(self, port: int, server: int, cookie: str, taken: list[float]) -> None:
        self._port = port
        self._server = server
        self._head = f"Host: 127.0.0.1\r\nCookie: {cookie}\r\nHX-Request: true\r\n\r\n"
        self._taken = taken
        self._asking = asyncio.Lock()
        self._pipe: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, path: str) -> None:
        async with self._asking:
            began = time.perf_counter()
            if self._pipe is None:
                self._pipe = await asyncio.open_connection("127.0.0.1", self._port)
            reader, writer = self._pipe
            writer.write(f"GET {path.format(self._server)} HTTP/1.1\r\n{self._head}".encode())
            try:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                await reader.readexactly(size)
            except asyncio.IncompleteReadError:
                # The web closes connections that were quiet for some seconds, as it does with browsers.
                self._pipe = None
                return
            if not head.startswith(b"HTTP/1.1 200"):
                raise NoPage(f"{path} answered {head[:20]!r}: no figures")
            self._taken.append(1000 * (time.perf_counter() - began))

    async def ask_every(self, seconds: float, path: str) -> None:
        await asyncio.sleep(random.uniform(0, seconds))
        while True:
            await self.ask(path)
            await asyncio.sleep(seconds)

    async def listen(self, is_connected: asyncio.Event) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        since = f"{int(1000 * time.time())}-0"
        writer.write(f"GET /live?last_seq={since} HTTP/1.1\r\n{self._head}".encode())
        async for line in reader:
            is_connected.set()
            if line.startswith(b"data: ") and f"server:{self._server}".encode() in line.split():
                for path in _CHANGED:
                    await self.ask(path)


def watch(port: int, pages: Pages, intervals: Intervals, is_told: object, pipe: Connection) -> None:
    """In a process of its own: open the pages, say so, watch until told, report how long each answer took."""

    async def run() -> None:
        taken: list[float] = []
        tasks = []
        for server, cookie in pages:
            page = Page(port, server, cookie, taken)
            if is_told:
                connected = asyncio.Event()
                tasks.append(asyncio.create_task(page.listen(connected)))
                await asyncio.wait_for(connected.wait(), 60)
            tasks += [asyncio.create_task(page.ask_every(seconds, path)) for path, seconds in intervals.items()]
        pipe.send(True)
        while not pipe.poll():
            await asyncio.sleep(0.1)
            failed = next((task for task in tasks if task.done()), None)
            if failed is not None:
                failed.result()
        taken_now = list(taken)
        pipe.send(taken_now)
        for task in tasks:
            task.cancel()

    asyncio.run(run())


def measure(name: str, pages: Pages, intervals: Intervals, *, is_told: bool, changes: bool = False) -> None:
    from left4me.core.redis import signals

    process, port = stack.web()
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    watcher = context.Process(target=watch, args=(port, pages, intervals, is_told, theirs), daemon=True)
    watcher.start()
    mine.recv()
    # The first answers find templates and connections that are not there yet.
    time.sleep(5)
    began, cpu = time.monotonic(), cpu_seconds(process.pid)
    until = began + SECONDS
    while time.monotonic() < until:
        if changes:
            signals.send([f"server:{random.choice(pages)[0]}"])
        time.sleep(1)
    seconds = time.monotonic() - began
    share = (cpu_seconds(process.pid) - cpu) / seconds
    mine.send(True)
    taken: list[float] = mine.recv()
    watcher.join()
    rate = len(taken) / (seconds + 5)
    p50, p99 = (stack.percentile(taken, part) if taken else 0.0 for part in (0.5, 0.99))
    work = f"{len(pages)} open pages, {name}"
    figures.record(
        f"{name:<46}{len(pages):>7}{rate:>10.1f}{100 * share:>8.1f}{p50:>9.1f}{p99:>9.1f}",
        Figure("open-pages", f"{work}: requests", rate, "req/s"),
        Figure("open-pages", f"{work}: CPU of the web", 100 * share, "% of one core"),
    )
    stack.kill(process)


def furnish(count: int) -> Pages:
    """Make the servers; return the id of each with the cookie of its owner."""
    from django.utils import timezone

    from accounts.models import User
    from servers.models import Blueprint, Host, Server

    now = timezone.now()
    host = Host.objects.get()
    Host.objects.update(last_seen_at=now, last_port=60000)
    pages: list[tuple[int, str]] = []
    for number in range(OWNERS):
        owner = User.objects.create_user(f"owner{number}")
        blueprint = Blueprint.objects.create(owner=owner, name="blueprint")
        cookie = cookie_of(owner)
        for each in range(number, count, OWNERS):
            server = Server(owner=owner, name=f"server {each}", blueprint=blueprint, host=host, port=27015 + each)
            server.rcon_password = "x" * 43
            server.actual_state, server.actual_state_at = Server.State.RUNNING, now
            server.save()
            pages.append((server.pk, cookie))
    return pages


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--open", type=int, default=200, help="how many pages are open")
    count = parser.parse_args().open
    stack.redis()
    stack.prepare()
    pages = furnish(count)
    print(f"{'':<46}{'pages':>7}{'req/s':>10}{'CPU %':>8}{'p50 ms':>9}{'p99 ms':>9}")
    measure("told what changed: nothing", pages, NOW, is_told=True)
    measure("told what changed: one server every second", pages, NOW, is_told=True, changes=True)
    measure("asking every few seconds, as before", pages, BEFORE, is_told=False)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
