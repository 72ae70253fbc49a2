"""Worker hosts of bench/scale without games: each takes the messages of its queue and does what a worker does.

A host is a thread with a database role of its own, which row-level security limits as on a worker host. What games
would answer comes from a simulated world; all that follows is the product's code. `python -m bench.scale_hosts SOCKET`
runs some hosts, as told over the socket.
"""

from __future__ import annotations

import base64
import json
import os
import random
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from multiprocessing.connection import Client
from typing import TYPE_CHECKING, Any

from bench.scale_table import POLL_SECONDS, Report

if TYPE_CHECKING:
    from bench.scale_site import HostOfServers
    from livestate.poller import Endpoint, Result
    from livestate.tests.world import SimulatedServer

# Of each server, by chance.
CRASHES_AN_HOUR = 0.6
_ACCOUNTS = 40
_PLAYERS = 5
_LINE_SECONDS = 1.0


class World:
    """The games of one host: stands in for the polling of a sweeper, and answers for all of them."""

    def __init__(self, server_ids: list[int]) -> None:
        self.servers = {pk: _inhabited(pk) for pk in server_ids}
        self.looked_at = self._began = datetime.now().astimezone()
        self.longest_pause = timedelta()
        self.is_over = False

    def sweep(self, endpoints: Iterable[Endpoint]) -> Iterator[list[Result]]:
        from livestate.poller import Answered, Reason, Unanswered

        before, self.looked_at = self.looked_at, datetime.now().astimezone()
        self.longest_pause = max(self.longest_pause, self.looked_at - before)
        answered: list[Result] = []
        silent: list[Result] = []
        for endpoint in endpoints:
            server = self.servers[endpoint.server_id]
            if not self.is_over:
                server.live(before, self.looked_at)
            if server.silent_until and not self.is_over:
                silent.append(Unanswered(server.server_id, Reason.TIMED_OUT, "No answer."))
            else:
                seconds = server.rng.uniform(0.01, 0.04)
                answered.append(Answered(server.server_id, server.status(self.looked_at), seconds))
        # As a poller does: the silent ones are waited for while the others are written.
        yield from (batch for batch in (answered, silent) if batch)

    def close(self) -> None:
        """Nothing is open."""

    def lost(self) -> list[str]:
        """What the database says otherwise than the world, after a sweep in which every game answered."""
        from left4me.core.steam_ids import BASE
        from livestate.models import PlayerSession

        found = []
        rows: dict[int, list[PlayerSession]] = {}
        for row in PlayerSession.objects.filter(server__in=list(self.servers)):
            rows.setdefault(row.server_id, []).append(row)
        for pk, server in self.servers.items():
            own = rows.get(pk, [])
            seen = {row.steam_id_64 - BASE for row in own if row.left_at is None}
            if seen != server.on.keys():
                found.append(f"server {pk}: {sorted(seen)} are on instead of {sorted(server.on)}")
            stays = Counter(row.steam_id_64 - BASE for row in own)
            for account, count in Counter(visit.account for visit in server.visits if self._was_seen(visit)).items():
                if stays[account] < count:
                    found.append(f"server {pk}: {stays[account]} of {count} stays of {account}")
        return found

    def _was_seen(self, visit: Any) -> bool:
        """Whether a visit was so long that a sweep must have seen it, also one of a server that was silent."""
        from livestate.tests.world import LONGEST_SILENCE

        if visit.left_at is None:
            return True
        stayed = visit.left_at - max(visit.joined_at, self._began)
        return bool(stayed > LONGEST_SILENCE + 2 * self.longest_pause)


class SimulatedHost:
    """One host: takes messages until the process ends or `pause` is called."""

    def __init__(self, spec: HostOfServers, running: threading.Event) -> None:
        self.name = spec.name
        self.world = World(spec.server_ids)
        self.report = Report()
        self._running = running
        self._idle = threading.Event()
        self.runtime = Runtime(spec.server_ids)
        threading.Thread(target=self._live, name=spec.name, daemon=True).start()

    def wait_until_idle(self) -> None:
        self._idle.wait(60)

    def _live(self) -> None:
        from django.db import connections

        from left4me.core.redis import keys
        from left4me.core.redis.client import client
        from left4me.site import host_rows

        _here.name, _here.runtime = self.name, self.runtime
        connection = connections["default"]
        connection.settings_dict = {**connection.settings_dict, "USER": f"{host_rows.ROLE_PREFIX}{self.name}"}
        acts = self._acts()
        queue = client(timeout=30)
        while True:
            if not self._running.is_set():
                self._idle.set()
                self._running.wait()
                self._idle.clear()
            taken: Any = queue.brpop([keys.host_queue(self.name)], timeout=1)
            if taken is not None:
                self._take(json.loads(taken[1]), acts)

    def _acts(self) -> dict[str, Callable[..., object]]:
        """What this host does with a message, by its task: what the tasks do that know one host for each process."""
        from django.utils import timezone

        from livestate.bans import application as bans
        from livestate.demos import recorder, retention
        from livestate.matches import watch
        from livestate.sweep import Sweeper
        from servers import tasks
        from servers.game_access import application as game_access
        from servers.hosts import this_host
        from servers.logs.publisher import Tailers

        sweeper = Sweeper(this_host.row())
        sweeper._polling.close()
        sweeper._polling = self.world
        self.sweep = sweeper.sweep

        def look_for_demos() -> None:
            recorder.note_all(self.name)
            retention.enforce(self.name, now=timezone.now(), with_days=False)

        return {
            "livestate.poll": sweeper.sweep,
            "servers.refresh": tasks.refresh,
            "servers.apply_game_access": lambda: game_access.apply(self.name, now=timezone.now()),
            "livestate.bans.apply": lambda: bans.apply_due(self.name, now=timezone.now()),
            "livestate.matches.attend": lambda: watch.attend(self.name, now=timezone.now()),
            "livestate.demos.look": look_for_demos,
            "servers.tail": Tailers(self.runtime).ensure,
            # What only reads the disk of a host.
            "servers.measure_folders": lambda: None,
        }

    def _take(self, message: dict[str, Any], acts: dict[str, Callable[..., object]]) -> None:
        task = message["headers"]["task"]
        expires = datetime.fromisoformat(message["headers"]["expires"]).timestamp()
        if time.time() > expires:
            self.report.expired[task] += 1
            return
        arguments = json.loads(base64.b64decode(message["body"]))[0]
        began = time.thread_time()
        try:
            acts[task](*arguments)
        except Exception:
            self.report.errors.append(f"{self.name}, {task}: {traceback.format_exc()}")
        self.report.count[task] += 1
        self.report.cpu[task] += time.thread_time() - began
        if task == "livestate.poll":
            # Such a message is of use for nine tenths of the time until the next.
            self.report.landed_after.append(time.time() - (expires - 0.9 * POLL_SECONDS))
        self.report.crashes, self.runtime.crashes = self.report.crashes + self.runtime.crashes, 0


class Runtime:
    """The runtime of a host whose games all run; now and then one has crashed and was started again."""

    def __init__(self, server_ids: list[int]) -> None:
        from django.conf import settings
        from django.utils import timezone

        self.crashes = 0
        # Long ago, so that nothing takes it for a restart.
        self._observed = {pk: _running(timezone.now() - timedelta(hours=1)) for pk in server_ids}
        looks_an_hour = 3600 / settings.LEFT4ME_STATUS_SECONDS
        self.chance_of_crash = CRASHES_AN_HOUR / looks_an_hour
        self._cpu: Counter[int] = Counter()

    def observe(self, server_ids: Iterable[int]) -> dict[int, Any]:
        from django.utils import timezone

        from servers.gamehost.port import Exit

        now = timezone.now()
        for pk in self._observed:
            if random.random() < self.chance_of_crash:
                self.crashes += 1
                self._observed[pk] = _running(now, restarts=1, last_exit=Exit(status=None, signal=11, at=now))
        return {pk: self._observed[pk] for pk in server_ids}

    def resources(self, server_ids: Iterable[int], *, with_disk: Iterable[int] = ()) -> dict[int, Any]:
        from servers.gamehost.port import Resources

        found = {}
        for pk in server_ids:
            self._cpu[pk] += random.randint(1, 3)
            found[pk] = Resources(
                cpu_seconds=float(self._cpu[pk]),
                memory_bytes=600_000_000 + random.randint(0, 20_000_000),
                tasks=30,
                disk_bytes=40_000_000 if pk in with_disk else None,
            )
        return found

    def tail(self, server_id: int, *, lines: int = 200) -> list[Any]:
        return []

    def follow(self, server_id: int, *, cursor: str | None, on_news: Callable[[], None] = lambda: None) -> Log:
        """The log, for a tailer that reads it."""
        return Log(int(cursor or 0))


class Log:
    """The log of a game that writes a line with its number each second, from after the line `number`."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._next_at = time.monotonic()

    def read(self) -> list[Any]:
        from django.utils import timezone

        from servers.gamehost.port import LogLine

        if time.monotonic() < self._next_at:
            return []
        self._number += 1
        self._next_at += _LINE_SECONDS
        return [LogLine(text=f"line {self._number}", at=timezone.now(), cursor=str(self._number))]

    def close(self) -> None:
        """Nothing is open."""


_here = threading.local()


def _running(started_at: datetime, **fields: Any) -> Any:
    from servers.gamehost.port import Observed, State

    return Observed(state=State.RUNNING, pid=1, started_at=started_at, **fields)


def _inhabited(server_id: int) -> SimulatedServer:
    """A server as it is after hours, with some players on it and accounts that come to no other."""
    from livestate.tests.world import SimulatedServer, Visit

    rng = random.Random(server_id)
    server = SimulatedServer(server_id, rng, range(1 + server_id * _ACCOUNTS, 1 + (server_id + 1) * _ACCOUNTS))
    now = datetime.now().astimezone()
    for account in rng.sample(server.accounts, rng.randint(_PLAYERS - 3, _PLAYERS + 3)):
        visit = Visit(account, now - timedelta(seconds=rng.uniform(5, 3000)), rng.randint(20, 120))
        server.on[account] = visit
        server.visits.append(visit)
    return server


def _set_up() -> None:
    """Make Django one in which each thread is another host, whose games answer nothing but what the world does."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "left4me.settings"
    import django

    django.setup()
    from django.conf import LazySettings, settings
    from django.db import connections

    from livestate.bans import application as bans
    from servers.hosts import this_host
    from servers.lifecycle import readiness

    async def confirm(*_arguments: object, **_options: object) -> bans.Outcome:
        return bans.Outcome()

    usual = settings.LEFT4ME_HOST
    LazySettings.LEFT4ME_HOST = property(lambda settings: getattr(_here, "name", usual))
    # A pool belongs to a process, and a role to a host.
    connections.settings["default"]["OPTIONS"].pop("pool", None)
    connections.settings["default"]["CONN_MAX_AGE"] = None
    this_host.runtime = lambda: _here.runtime
    readiness.ready = lambda servers: {server.pk for server in servers}
    bans.apply_to_game = confirm


def main() -> None:
    _set_up()
    pipe = Client(sys.argv[1])
    running = threading.Event()
    hosts: list[SimulatedHost] = []
    while True:
        order, argument = pipe.recv()
        if order == "add":
            hosts += [SimulatedHost(spec, running) for spec in argument]
            running.set()
        elif order == "report":
            whole = Report()
            for host in hosts:
                report, host.report = host.report, Report()
                whole.add(report)
            pipe.send(whole)
        elif order == "lost":
            running.clear()
            pipe.send(_lost(hosts))


def _lost(hosts: list[SimulatedHost]) -> list[str]:
    found: list[str] = []
    for host in hosts:
        host.wait_until_idle()
        host.world.is_over = True
        _here.name, _here.runtime = host.name, host.runtime
        host.sweep()
        found += host.world.lost()
    return found


if __name__ == "__main__":
    main()
