"""Step up from 500 to 10,000 servers on one PostgreSQL and one Redis; print which part is full first, and at how many.

    bench/scale [--hosts 100] [--servers 100] [--seconds 45] [--steps 500,1000,2500,5000,10000]

There are no games: each host takes the messages of its queue and does with simulated answers what its worker does
(bench/scale_hosts.py). All else is as installed: PostgreSQL and Redis of Debian, web, worker and beat. The servers of
a host are swept every 5 s; 200 people have the page of a server with its log open (bench/scale_viewers.py); 50 jobs a
minute run; games fall silent and crash, and alerts go out. A given `DATABASE_URL` is used, if it is PostgreSQL's.

Everything shares one machine here, so a step that is too much for it is not yet too much for any part. What each part
costs is measured by its processor seconds, and how many servers one core of it carries is derived from those.

It ends with status 1 when a row or line was lost, a job failed, or anything has logged a traceback.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import figures
from bench.figures import Figure
from bench.scale_table import Report, Step, print_capacity, print_progress, print_table

if TYPE_CHECKING:
    from subprocess import Popen

    from bench.scale_parts import Parts
    from bench.scale_site import Site

HOST_PROCESSES = 2
WARM_SECONDS = 12
# A worker host has at least one connection, and fsync is part of what a commit costs.
_POSTGRES = "-c fsync=on -c max_connections=500 -c shared_preload_libraries=pg_stat_statements"


@dataclass
class Helper:
    """A program of the bench, and the connection over which it is told what to do."""

    process: Popen[bytes]
    pipe: Connection

    def ask(self, *order: object) -> Any:
        self.pipe.send(order)
        return self.pipe.recv()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=100, help="at most")
    parser.add_argument("--servers", type=int, default=100, help="of each host")
    parser.add_argument("--seconds", type=float, default=45, help="of each step")
    parser.add_argument("--steps", default="500,1000,2500,5000,10000", help="numbers of servers")
    parser.add_argument("--viewers", type=int, default=200)
    parser.add_argument("--jobs", type=float, default=50, help="a minute")
    parser.add_argument("--to-the-end", action="store_true", help="go on after a step that does not keep up")
    parser.add_argument("--statements", action="store_true", help="print what PostgreSQL spent its time on")
    wanted = parser.parse_args()
    if not os.environ.get("DATABASE_URL", "").startswith("postgres"):
        os.environ["POSTGRES_OPTIONS"] = _POSTGRES
        again = ["bin/with-postgres", sys.executable, "-m", "bench.scale", *sys.argv[1:]]
        os.execvp(again[0], again)  # noqa: S606 -- no shell is wanted
    hosts = {-(-int(step) // wanted.servers) for step in wanted.steps.split(",")}
    with Stack(viewers=wanted.viewers, jobs_a_minute=wanted.jobs, seconds=wanted.seconds) as stack:
        steps: list[Step] = []
        for count in sorted(hosts):
            steps.append(stack.measure(min(count, wanted.hosts), wanted.servers))
            print_progress(steps[-1])
            if wanted.statements:
                print_statements(wanted.seconds)
            if count >= wanted.hosts or not (steps[-1].keeps_up or wanted.to_the_end):
                break
        faults = stack.faults(steps)
    print_table(steps)
    print_capacity(steps)
    for name, count in faults.items():
        figures.record(f"{name:<44}{count:>10}", Figure("scale", name, count, "", aim="== 0"))
    return 1 if any(faults.values()) else 0


class Stack:
    """The whole application with simulated hosts and viewers, to which hosts are added."""

    def __init__(self, *, viewers: int, jobs_a_minute: float, seconds: float) -> None:
        self._viewers = viewers
        self._jobs_a_minute = jobs_a_minute
        self._seconds = seconds
        self._exits = contextlib.ExitStack()

    def __enter__(self) -> Stack:
        # Both set what they need in the environment before Django reads it.
        from bench import stack
        from left4me.alerts.tests.receiver import receiving

        self._stack = stack
        self._receiver = self._exits.enter_context(receiving())
        os.environ.update(
            LEFT4ME_ALERT_ORIGINS=self._receiver.origin,
            LEFT4ME_GAME_CHECK_SECONDS="0",
            LEFT4ME_WORKSHOP_REFRESH_SECONDS="0",
            PGAPPNAME="bench",
        )
        stack.prepare()
        redis = stack.redis()
        from bench.scale_parts import Parts
        from bench.scale_site import Site

        self._site: Site = Site(people=self._viewers, alerts_to=self._receiver.url())
        worker = stack.worker(PGAPPNAME="worker")
        web, self._port = stack.web(PGAPPNAME="web")
        self._hosts = [self._help("scale_hosts", PGAPPNAME="hosts") for _ in range(HOST_PROCESSES)]
        beat = stack.beat()
        self._parts: Parts = Parts(
            redis=redis.pid,
            web=web.pid,
            worker=worker.pid,
            beat=beat.pid,
            **{f"hosts {number}": helper.process.pid for number, helper in enumerate(self._hosts)},
        )
        return self

    def __exit__(self, *error: object) -> None:
        self._exits.close()

    def measure(self, hosts: int, servers: int) -> Step:
        """Have so many hosts in all, wait until they are warm, and measure."""
        added = [self._site.add_host(servers) for _ in range(hosts - self._site.hosts)]
        for number, helper in enumerate(self._hosts):
            helper.pipe.send(("add", added[number :: len(self._hosts)]))
        viewers = self._help("scale_viewers", PGAPPNAME="viewers")
        connected = viewers.ask(self._port, self._site.visitors())
        assert connected
        time.sleep(WARM_SECONDS)
        self._report()
        viewers.ask("report")
        self._receiver.bodies.clear()
        _forget_statements()
        before = self._parts.read()
        jobs = self._run_jobs()
        step = Step(self._site.count, hosts, self._parts.read().since(before), self._report(), viewers.ask("report"))
        viewers.pipe.close()
        viewers.process.wait(60)
        step.used.cpu["hosts"] = sum(seconds for name, seconds in step.used.cpu.items() if name.startswith("hosts "))
        step.alerts = len(self._receiver.bodies)
        step.jobs = len(jobs)
        step.waits = _waits(jobs)
        return step

    def faults(self, steps: list[Step]) -> dict[str, int]:
        """What went wrong; printed as it is found."""
        from left4me.jobs.models import Job

        self._stack.until(lambda: not Job.objects.live().exists(), what="the last job")
        lost = [fault for helper in self._hosts for fault in helper.ask("lost", None)]
        errors = [error for step in steps for error in (*step.done.errors, *step.seen.errors)]
        for fault in (*lost[:10], *errors[:10]):
            print(f"  {fault}")
        tracebacks = 0
        for log in Path(self._stack.ROOT).glob("*.log"):
            text = log.read_text(errors="replace")
            if count := text.count("Traceback (most recent call last)"):
                print(f"  {log.name}: {text[text.index('Traceback') :][:2000]}")
                tracebacks += count
        return {
            "rows lost": len(lost),
            "lines of logs lost": sum(step.seen.lines_lost for step in steps),
            "errors of hosts and viewers": len(errors),
            "jobs that did not succeed": Job.objects.exclude(state="succeeded").count(),
            "tracebacks in logs": tracebacks,
        }

    def _help(self, module: str, **environment: str) -> Helper:
        address = str(self._stack.ROOT / f"{module}-{time.monotonic_ns()}.sock")
        with Listener(address, family="AF_UNIX") as listener:
            process = self._stack.start(module, sys.executable, "-m", f"bench.{module}", address, **environment)
            return Helper(process, listener.accept())

    def _report(self) -> Report:
        whole = Report()
        for helper in self._hosts:
            whole.add(helper.ask("report", None))
        return whole

    def _run_jobs(self) -> list[int]:
        """Ask for jobs at an even pace for the time of a step; returns their ids."""
        from left4me.jobs import actions

        jobs = []
        ends_at = time.monotonic() + self._seconds
        pause = 60 / self._jobs_a_minute
        number = 0
        while (left := ends_at - time.monotonic()) > 0:
            number += 1
            job = actions.request(
                operation="diagnostic",
                resource=f"diagnostic:{number}",
                by=None,
                host="local",
                params={"lines": 20, "interval": 0.05},
            )
            jobs.append(job.pk)
            time.sleep(min(pause, left))
        return jobs


def _waits(jobs: list[int]) -> list[float]:
    """How long jobs waited until they were taken, in milliseconds."""
    from left4me.jobs.models import Job

    rows = Job.objects.filter(pk__in=jobs, started_at__isnull=False).values_list("created_at", "started_at")
    return [1000 * (started - created).total_seconds() for created, started in rows]


def _forget_statements() -> None:
    from django.db import DatabaseError, connection

    with contextlib.suppress(DatabaseError), connection.cursor() as cursor:
        cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        cursor.execute("SELECT pg_stat_statements_reset()")


def print_statements(seconds: float, most: int = 15) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(calls), sum(total_exec_time),"
            " left(regexp_replace(min(query), '\\s+', ' ', 'g'), 150)"
            " FROM pg_stat_statements JOIN pg_user ON usesysid = userid"
            " GROUP BY regexp_replace(query, '\\$\\d+(, \\$\\d+)*', '', 'g') ORDER BY 2 DESC LIMIT %s",
            [most],
        )
        for calls, spent, text in cursor.fetchall():
            print(f"  {float(spent) / seconds:>8.1f} ms/s{float(calls) / seconds:>9.1f}/s  {text}")


if __name__ == "__main__":
    sys.exit(main())
