"""What the parts of bench/scale have used: processor seconds, and what PostgreSQL and Redis count themselves."""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from left4me.core.redis.client import client

_TICKS = os.sysconf("SC_CLK_TCK")
# Of PostgreSQL's processes, those that serve no connection.
OWN_PROCESSES = "of its own"


@dataclass
class Reading:
    """The counters of all parts at one moment, or what they have grown by between two (`since`)."""

    at: float
    cpu: Counter[str] = field(default_factory=Counter)
    # Of PostgreSQL's seconds, by the application that a connection belongs to.
    postgres_for: Counter[str] = field(default_factory=Counter)
    counted: Counter[str] = field(default_factory=Counter)
    connections: Counter[str] = field(default_factory=Counter)

    def since(self, before: Reading) -> Reading:
        return Reading(
            self.at - before.at,
            _grown(self.cpu, before.cpu),
            _grown(self.postgres_for, before.postgres_for),
            _grown(self.counted, before.counted),
            self.connections,
        )


class Parts:
    """Reads the counters of the parts: of processes by their ids, with all below them."""

    def __init__(self, **pids: int) -> None:
        self._pids = pids

    def read(self) -> Reading:
        from django.db import connection

        reading = Reading(time.monotonic())
        with connection.cursor() as cursor:
            cursor.execute("SELECT pid, application_name FROM pg_stat_activity WHERE backend_type = 'client backend'")
            served = dict(cursor.fetchall())
            cursor.execute(
                "SELECT (SELECT sum(xact_commit + xact_rollback) FROM pg_stat_database),"
                " (SELECT sum(xact_rollback) FROM pg_stat_database),"
                " pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0'), pg_database_size(current_database())"
            )
            names = ("transactions", "rolled back", "WAL bytes", "database bytes")
            reading.counted.update(dict(zip(names, map(int, cursor.fetchone()), strict=True)))
        reading.connections.update(served.values())
        tree = _children()
        postmaster = _parent(next(iter(served)))
        reading.cpu["postgres"] = _cpu_below(postmaster, tree)
        for pid, application in served.items():
            reading.postgres_for[application] += _cpu(pid)
        reading.postgres_for[OWN_PROCESSES] = reading.cpu["postgres"] - sum(reading.postgres_for.values())
        for name, pid in self._pids.items():
            reading.cpu[name] = _cpu_below(pid, tree)
        reading.cpu["the machine"], reading.cpu["the machine, idle"] = _machine()
        # Its methods may be asynchronous ones for the type checker.
        told: Any = client().info()
        reading.counted["Redis commands"] = told["total_commands_processed"]
        reading.counted["Redis bytes"] = told["total_net_input_bytes"] + told["total_net_output_bytes"]
        reading.counted["Redis memory"] = told["used_memory"]
        return reading


def _grown(now: Counter[str], before: Counter[str]) -> Counter[str]:
    return Counter({name: value - before[name] for name, value in now.items()})


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        # It has ended. What it used counts for its parent, which has waited for it.
        return []


def _cpu(pid: int) -> float:
    """The processor seconds of a process, with those of children that have ended."""
    return sum(map(int, _stat(pid)[11:15])) / _TICKS


def _parent(pid: int) -> int:
    return int(_stat(pid)[1])


def _children() -> dict[int, list[int]]:
    tree: dict[int, list[int]] = {}
    for place in Path("/proc").iterdir():
        if place.name.isdigit() and (stat := _stat(int(place.name))):
            tree.setdefault(int(stat[1]), []).append(int(place.name))
    return tree


def _cpu_below(pid: int, tree: dict[int, list[int]]) -> float:
    return _cpu(pid) + sum(_cpu_below(child, tree) for child in tree.get(pid, ()))


def _machine() -> tuple[float, float]:
    """The seconds that the processors of the machine worked, whoever for, and those that they were idle."""
    words = Path("/proc/stat").read_text().splitlines()[0].split()
    user, nice, system, idle, waiting, interrupts, soft, stolen = (int(word) / _TICKS for word in words[1:9])
    return user + nice + system + interrupts + soft + stolen, idle + waiting
