"""Simulate a day of 100 servers on a fast clock, and compare the recorded history with what happened.

Each server is polled every 5 s of the day. Players join and leave, campaigns go on, servers stop answering; the
recording process is replaced without warning every 37 minutes, sometimes in the middle of a transaction. Prints the
differences, and how many bytes a day of one server takes, beside the size of one row for every poll.
"""

from __future__ import annotations

import os
import random
import sqlite3
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench import figures as kept
from bench import stack
from bench.figures import Figure

SERVERS = int(os.environ.get("BENCH_SERVERS", "100"))
HOURS = float(os.environ.get("BENCH_HOURS", "24"))
POLL = timedelta(seconds=5)
MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
KILLED_EVERY = 444
KILLED_INSIDE_EVERY = 1_000


class Killed(Exception):
    pass


class RowPerPoll:
    """The naive design: one row for each poll of a server, one for each player in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.database = sqlite3.connect(path)
        self.database.executescript(
            "CREATE TABLE poll (id INTEGER PRIMARY KEY, server INTEGER, at TEXT, players INTEGER, most INTEGER,"
            " bots INTEGER, map TEXT, hibernating INTEGER);"
            "CREATE TABLE seen (id INTEGER PRIMARY KEY, poll INTEGER, steam_id INTEGER, name TEXT, ping INTEGER);"
            "CREATE INDEX poll_by_server ON poll (server, at); CREATE INDEX seen_by_poll ON seen (poll);"
        )

    def record(self, server_id: int, status, now: datetime) -> None:
        poll = self.database.execute(
            "INSERT INTO poll VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)",
            (server_id, str(now), len(status.players), status.max, 0, status.map, status.hibernating),
        ).lastrowid
        self.database.executemany(
            "INSERT INTO seen VALUES (NULL, ?, ?, ?, ?)",
            [(poll, int(player.steamid64), player.name, player.ping) for player in status.players],
        )

    def size(self) -> int:
        self.database.commit()
        return self.path.stat().st_size


def main() -> int:
    os.environ["DATABASE_URL"] = ""
    stack.prepare()
    # What changes is told to pages over Redis.
    stack.redis()
    return live(stack.ROOT)


def live(root: Path) -> int:
    from django.db import connection, transaction

    from livestate import totals
    from livestate.figures.collector import Collector
    from livestate.figures.columns import BYTES_PER_STEP
    from livestate.models import PlayerSession, ServerFigures, Snapshot
    from livestate.poller import Answered, Reason, Unanswered
    from livestate.recorder import Recorder
    from livestate.silences import Silences
    from livestate.tests.world import differences, make_world

    ids, host_id = make_servers()
    empty = database_size(connection)
    naive = RowPerPoll(root / "naive.sqlite3")
    world = make_world(ids, seed=2009)
    recorder = None
    figures = Collector(ServerFigures, gap=timedelta(seconds=10))
    noise = random.Random(2009)
    began = time.perf_counter()
    polls, kills = int(timedelta(hours=HOURS) / POLL), 0
    ended = Silences.end

    def killed(self, server_ids):
        raise Killed

    for number in range(1, polls + 1):
        before, now = MIDNIGHT + POLL * (number - 1), MIDNIGHT + POLL * number
        if recorder is None or number % KILLED_EVERY == 0:
            recorder = Recorder(host_id=host_id, gap=timedelta(seconds=60))
            kills += number > 1
        batch = []
        for server in world:
            server.live(before, now)
            if number == polls:
                server.silent_until = None  # so that the last look finds everybody who is still on
            if server.silent_until:
                batch.append(Unanswered(server.server_id, Reason.TIMED_OUT, "silent"))
                continue
            status = server.status(now)
            batch.append(Answered(server.server_id, status))
            if server is world[0]:
                naive.record(server.server_id, status, now)
        recorder.begin(now=now)
        if number % KILLED_INSIDE_EVERY == 0:
            Silences.end = killed
            try:
                recorder.record(batch, now=now)
            except Killed:
                recorder, kills = Recorder(host_id=host_id, gap=timedelta(seconds=60)), kills + 1
                recorder.begin(now=now)
            Silences.end = ended
        recorder.record(batch, now=now)
        recorder.close_lost_stays(ended=set(), now=now)
        answered = [result for result in batch if isinstance(result, Answered)]
        figures.add({result.server_id: sample(result.status, noise) for result in answered}, now=now)
        with transaction.atomic():
            figures.write()
    seconds = time.perf_counter() - began
    faults = [
        f"server {server.server_id}: {fault}"
        for server in world
        for fault in differences(server, list(PlayerSession.objects.filter(server_id=server.server_id)))
    ]
    faults += totals.differences()
    visits = sum(len(server.visits) for server in world)
    print(f"{SERVERS} servers, {HOURS:g} h, {polls} polls each, {kills} kills: {seconds:.0f} s of work")
    print(f"visits in the world {visits}, stays in the history {PlayerSession.objects.count()}, faults {len(faults)}")
    print("\n".join(faults[:20]))
    days = SERVERS * HOURS / 24
    ours, theirs = (database_size(connection) - empty) / days, naive.size() * 24 / HOURS
    columns = [
        sum(len(getattr(row, figure.name)) for row in ServerFigures.objects.all()) / days
        for figure in ServerFigures.FIGURES
    ]
    print(
        "bytes of figures per server and day, before they are condensed: "
        + ", ".join(f"{figure.name} {size:,.0f}" for figure, size in zip(ServerFigures.FIGURES, columns, strict=True))
        + f"; in all {sum(columns):,.0f} of at most {len(columns) * 8640 * BYTES_PER_STEP:,}"
    )
    work = "history of a server for a day"
    kept.record(
        f"bytes per server and day: {ours:,.0f} in {Snapshot.objects.count() / days:,.0f} snapshots and"
        f" {PlayerSession.objects.count() / days:,.0f} stays; with a row for every poll {theirs:,.0f}",
        Figure("day", work, ours / 1e6, "MB"),
        Figure("day", work, theirs / 1e6, "MB", "a row for every poll"),
        Figure("day", "differences between the history and what happened", len(faults), "faults"),
    )
    return 1 if faults else 0


def sample(status, noise: random.Random) -> dict[str, float]:
    """Figures as those of a running game: each but the disk changes a little with every poll."""
    people = len(status.people)
    return {
        "players": people,
        "cpu": max(0.0, noise.gauss(8 + 6 * people, 3)),
        "memory": noise.gauss(6e8 + 8e6 * people, 2e6),
        "ping": max(0.001, noise.gauss(0.02, 0.004)),
        "disk": 4e7,
    }


def make_servers() -> tuple[list[int], int]:
    from accounts.models import User
    from servers.models import Blueprint, Host, Server

    owner = User.objects.create(username="bench")
    host = Host.objects.create(name="day")
    blueprint = Blueprint.objects.create(owner=owner, name="day")
    rows = Server.objects.bulk_create(
        Server(owner=owner, host=host, blueprint=blueprint, name=f"server {number}", port=20_000 + number)
        for number in range(SERVERS)
    )
    return [server.pk for server in rows], host.pk


def database_size(connection) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
        return cursor.fetchone()[0]


if __name__ == "__main__":
    sys.exit(main())
