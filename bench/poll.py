"""Print what a sweep over 10, 100 and 1,000 game servers costs, 1 in 100 of them silent (2 s limit).

In the same run: this application's sweep with its rows in SQLite, the same servers asked one after the other, and
two floors of raw asyncio sockets, which parse nothing. That of the first sweep connects, logs in, and writes the same
rows into the same tables; that of later ones is connected already and writes none. The endpoints run in a process of
their own; 8 people are on each server. `CPU` is this process's, over one sweep.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import resource
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

from bench import figures as kept
from bench.figures import Figure
from bench.peers import raw_sockets

SIZES = [int(word) for word in os.environ.get("BENCH_SIZES", "10 100 1000").split()]
PEOPLE = 8
SILENT_EVERY = 100
TIMEOUT = 2.0
PASSWORD = "bench"
LINE = '# {0:2} {1} "player {1}" STEAM_1:0:{2} {3:02}:{4:02} 42 0 active 30000 192.0.2.1:27005'


def packet(packet_id: int, kind: int, body: bytes) -> bytes:
    return struct.pack("<iii", len(body) + 10, packet_id, kind) + body + b"\0\0"


class Endpoint(asyncio.Protocol):
    """A game server: lets everybody in, knows `status`; a silent one never says a word."""

    began = time.monotonic()

    def __init__(self, number: int, *, silent: bool) -> None:
        self.number = number
        self.silent = silent
        self.waiting = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.silent:
            return
        self.waiting += data
        out = b""
        while len(self.waiting) >= 4 and len(self.waiting) >= 4 + (size := struct.unpack_from("<i", self.waiting)[0]):
            packet_id, kind = struct.unpack_from("<ii", self.waiting, 4)
            body, self.waiting = self.waiting[12 : 2 + size], self.waiting[4 + size :]
            if kind == 3:
                out += packet(packet_id, 0, b"") + packet(packet_id, 2, b"")
            elif kind == 0:
                # Games mirror an empty answer and add one, which is how some clients find the end of an answer.
                out += packet(packet_id, 0, b"") + packet(packet_id, 0, b"\0\1\0\0")
            else:
                out += packet(packet_id, 0, self.status() if body else b"")
        self.transport.write(out)

    def status(self) -> bytes:
        minutes, seconds = divmod(600 + int(time.monotonic() - self.began), 60)
        rows = [
            LINE.format(slot + 1, slot, self.number * 100 + slot, minutes, seconds) for slot in range(1, PEOPLE + 1)
        ]
        return "\n".join(
            [
                f"hostname: bench {self.number}",
                "version : 2.2.4.3 10097 secure  (unknown)",
                "udp/ip  : 127.0.0.1:27015 [ public same ]",
                "os      : Linux Dedicated",
                "map     : c1m1_hotel",
                f"players : {PEOPLE} humans, 0 bots ({PEOPLE} max) (not hibernating) (unreserved)",
                "",
                "# userid name uniqueid connected ping loss state rate adr",
                *rows,
                "#end\n",
            ]
        ).encode()


def serve(count: int, ports: Connection) -> None:
    import uvloop

    quiet = set(range(count - 1, -1, -SILENT_EVERY))

    async def forever() -> None:
        loop = asyncio.get_running_loop()
        listening = [
            await loop.create_server(lambda number=number: Endpoint(number, silent=number in quiet), "127.0.0.1", 0)
            for number in range(count)
        ]
        ports.send([server.sockets[0].getsockname()[1] for server in listening])
        await asyncio.Event().wait()

    uvloop.run(forever())


@contextmanager
def endpoints(count: int) -> Iterator[list[int]]:
    receiving, sending = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(count, sending), daemon=True)
    process.start()
    try:
        yield receiving.recv()
    finally:
        process.terminate()
        process.join()


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def keep(ports: list[int], sweep: str, who: str = kept.US, **seconds: float) -> None:
    """Record what a sweep over all servers took."""
    names = {"healthy": "healthy ones committed", "total": "all in", "cpu": "CPU"}
    for key, value in seconds.items():
        kept.record(None, Figure("poll", f"{sweep} of {len(ports):,}: {names[key]}", value, "s", who))


def ours(ports: list[int]) -> str:
    from django.utils import timezone

    from accounts.models import User
    from left4me.core import secrets
    from livestate.models import PlayerSession, Snapshot
    from livestate.poller import Answered
    from livestate.sweep import Sweeper
    from servers.models import Blueprint, Host, Server

    owner, _ = User.objects.get_or_create(username="bench")
    host = Host.objects.create(name=f"bench-{len(ports)}")
    blueprint = Blueprint.objects.create(owner=owner, name=host.name)
    Server.objects.bulk_create(
        Server(
            owner=owner,
            host=host,
            blueprint=blueprint,
            name=f"{host.name} {port}",
            port=port,
            # Each its own text, as left4me seals them.
            sealed_rcon_password=secrets.seal(PASSWORD),
            actual_state=Server.State.RUNNING,
            started_at=timezone.now(),
        )
        for port in ports
    )
    sweeper = Sweeper(host)
    committed: list[tuple[float, int]] = []
    rows: list[int] = []
    record = sweeper._recorder.record

    def timed(batch, *, now):
        tally = record(batch, now=now)
        committed.append((time.perf_counter(), sum(isinstance(result, Answered) for result in batch)))
        rows.append(tally.seen + tally.snapshots + tally.opened + tally.updated + tally.silent)
        return tally

    sweeper._recorder.record = timed
    lines = []
    for label in ("ours, first sweep (connect, log in, all rows new)", "ours, every later sweep (persistent)"):
        committed.clear()
        rows.clear()
        started, spent = time.perf_counter(), cpu()
        sweeper.sweep()
        total, spent = time.perf_counter() - started, cpu() - spent
        healthy = max(moment for moment, answered in committed if answered) - started
        lines.append(
            f"  {label:<52}{healthy:>7.3f} s healthy committed{total:>8.3f} s in all"
            f"{spent:>8.3f} s CPU{sum(rows):>7} rows in {len(rows)} transactions"
        )
        sweep = label.partition(",")[2].partition("(")[0].strip()
        keep(ports, sweep, healthy=healthy, total=total, cpu=spent)
    silent = -(-len(ports) // SILENT_EVERY)
    assert Snapshot.objects.filter(server__host=host).count() == len(ports) - silent
    assert PlayerSession.objects.filter(server__host=host).count() == PEOPLE * (len(ports) - silent)
    sweeper.close()
    return "\n".join(lines)


def figures(ports: list[int]) -> str:
    """What the figures of charts add to each sweep: ten minutes of noisy ones on a fast clock, written to SQLite."""
    import random
    from datetime import UTC, datetime, timedelta

    from django.db import connection, transaction

    from livestate.figures.collector import Collector
    from livestate.models import ServerFigures
    from servers.models import Server

    ids = list(Server.objects.filter(host__name=f"bench-{len(ports)}").values_list("pk", flat=True))
    noise = random.Random(2009)
    batches = [
        {
            pk: {
                "players": PEOPLE,
                "ping": noise.uniform(0.01, 0.04),
                "cpu": noise.uniform(20, 40),
                "memory": noise.uniform(4e8, 4.1e8),
                "disk": 1e7,
            }
            for pk in ids
        }
        for _ in range(120)
    ]
    collector = Collector(ServerFigures, gap=timedelta(seconds=10))
    start, rows = datetime(2026, 3, 1, tzinfo=UTC), 0
    began, spent = time.perf_counter(), cpu()
    for number, batch in enumerate(batches):
        collector.add(batch, now=start + timedelta(seconds=5 * number))
        with transaction.atomic():
            rows += collector.write()
    total, spent = (time.perf_counter() - began) / len(batches), (cpu() - spent) / len(batches)
    connection.close()
    keep(ports, "figures of charts in one sweep", total=total, cpu=spent)
    return (
        f"  {'figures of one sweep, on average':<52}{'':>27}{total:>8.3f} s in all{spent:>8.3f} s CPU"
        f"{rows // len(batches):>7} rows in 1 transaction"
    )


def sequential(ports: list[int]) -> str:
    from livestate.status import parse_status
    from servers.gamehost import rcon

    started, spent = time.perf_counter(), cpu()
    for port in ports:
        try:
            parse_status(rcon.execute("127.0.0.1", port, PASSWORD, "status", timeout=TIMEOUT))
        except rcon.TimedOut:
            continue
    total, spent = time.perf_counter() - started, cpu() - spent
    keep(ports, "every later sweep", "one after the other", total=total, cpu=spent)
    return f"  {'one after the other (no rows)':<52}{'':>27}{total:>8.3f} s in all{spent:>8.3f} s CPU"


def floor(ports: list[int]) -> str:
    silent = -(-len(ports) // SILENT_EVERY)
    found = raw_sockets.sweep(ports, PASSWORD, silent=silent, timeout=TIMEOUT)
    keep(ports, "first sweep", raw_sockets.NAME, healthy=found.healthy, cpu=found.cpu)
    keep(ports, "every later sweep", raw_sockets.NAME, healthy=found.healthy, cpu=found.cpu)
    keep(ports, "first sweep", f"{raw_sockets.NAME} that connect too", healthy=found.connected + found.healthy)
    return (
        f"  {'floor: raw sockets, persistent (nothing parsed, no rows)':<52}{found.healthy:>7.3f} s healthy heard"
        f"{found.total:>12.3f} s in all{found.cpu:>8.3f} s CPU"
    )


def first_floor(ports: list[int]) -> str:
    """The least that a first sweep takes: the rows of `ours`, deleted before, are written again by `executemany`."""
    from django.db import connection, transaction

    from livestate.models import PlayerSession, Snapshot

    silent = -(-len(ports) // SILENT_EVERY)
    inserts = []
    with connection.cursor() as cursor:
        for model in (Snapshot, PlayerSession):
            table = model._meta.db_table
            cursor.execute(f"SELECT * FROM {table}")  # noqa: S608 -- the name of a table
            rows = cursor.fetchall()
            cursor.execute(f"DELETE FROM {table}")  # noqa: S608
            values = ", ".join(["%s"] * len(rows[0]))
            inserts.append((f"INSERT INTO {table} VALUES ({values})", rows))  # noqa: S608

    asked = raw_sockets.first_sweep(ports, PASSWORD, silent=silent, timeout=TIMEOUT)
    began, spent = time.perf_counter(), cpu()
    with transaction.atomic(), connection.cursor() as cursor:
        for insert, rows in inserts:
            cursor.executemany(insert, rows)
    healthy, spent = asked.healthy + time.perf_counter() - began, asked.cpu + cpu() - spent
    keep(ports, "first sweep", raw_sockets.NAME_OF_FIRST, healthy=healthy, cpu=spent)
    return (
        f"  {'floor of the first: connects, nothing parsed, rows':<52}{healthy:>7.3f} s healthy committed"
        f"{asked.total:>8.3f} s in all{spent:>8.3f} s CPU"
    )


def main() -> None:
    # Not where modules are imported: the process of the endpoints needs no data directory.
    from bench import stack

    os.environ.update(DATABASE_URL="", LEFT4ME_POLL_TIMEOUT_SECONDS=f"{TIMEOUT:g}")
    stack.prepare()
    stack.redis()
    for size in SIZES:
        with endpoints(size) as ports:
            print(f"{size} servers, {PEOPLE} people on each, {-(-size // SILENT_EVERY)} silent ({TIMEOUT:g} s limit)")
            for contender in (ours, figures, first_floor, floor, sequential):
                print(contender(ports), flush=True)


if __name__ == "__main__":
    main()
