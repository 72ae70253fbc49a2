"""Break the job engine at random moments, many times, and count what must never happen."""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import secrets
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from bench import stack

INCLUDE = "bench.fault_operations"
_ENOUGH_WAITING = 15


class Chaos:
    """One running stack, and the ways to hurt it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.redis = stack.redis()
        self.workers = [stack.worker(include=INCLUDE), stack.worker(include=INCLUDE)]
        self.beat = stack.beat()
        self.done: Counter[str] = Counter()

    def hurt(self) -> None:
        ways = [self.kill_worker] * 5 + [self.kill_beat, self.flush_redis, self.double_messages, self.kill_all_workers]
        ways += [self.stop_worker]
        way = self.random.choice(ways)
        self.done[way.__name__.replace("_", " ")] += 1
        way()

    def kill_worker(self) -> None:
        number = self.random.randrange(len(self.workers))
        stack.kill(self.workers[number])
        time.sleep(self.random.choice([0, 0, 0.5]))
        self.workers[number] = stack.worker(include=INCLUDE)

    def kill_all_workers(self) -> None:
        for worker in self.workers:
            stack.kill(worker)
        self.workers = [stack.worker(include=INCLUDE) for _ in self.workers]

    def stop_worker(self) -> None:
        stack.kill(self.workers[0], signal.SIGTERM)
        self.workers[0] = stack.worker(include=INCLUDE)

    def kill_beat(self) -> None:
        stack.kill(self.beat)
        self.beat = stack.beat()

    def flush_redis(self) -> None:
        stack.kill(self.redis)
        time.sleep(self.random.random())
        self.redis = stack.redis(keep=False)

    def double_messages(self) -> None:
        """Send the tasks of waiting, running and ended jobs once more, and one of a job that does not exist."""
        from left4me.jobs import dispatch
        from left4me.jobs.models import Job

        newest = list(Job.objects.order_by("-pk").values_list("pk", "operation")[:20])
        for job_id, operation in [*newest, (10**9, "bench-step")]:
            dispatch.send("local", job_id, operation)

    def ask(self) -> None:
        from left4me.jobs import actions

        operation = self.random.choice(["bench-step", "bench-step", "bench-once"])
        resource = self.random.choice([f"server:{n}" for n in range(1, 7)] * 3 + ["game"])
        params = {
            "seconds": self.random.uniform(0.05, 0.6),
            "child": self.random.random() < 0.5,
            "nonce": self.random.random(),
        }
        job = actions.request(operation=operation, resource=resource, by=None, host="local", params=params)
        if self.random.random() < 0.1:
            actions.cancel(job=job, by=None)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench/faults jobs", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    options = parser.parse_args(arguments)
    mark = f"left4me-fault-{secrets.token_hex(6)}"
    evidence = stack.ROOT / "evidence"
    evidence.mkdir()
    os.environ.update(BENCH_EVIDENCE=str(evidence), BENCH_MARK=mark)
    stack.prepare()
    from bench import fault_operations  # noqa: F401 -- the one who asks must know the operations too

    print(f"seed {options.seed}, {options.rounds} rounds")
    chaos = Chaos(options.seed)
    began, begun = time.monotonic(), 0
    for number in range(1, options.rounds + 1):
        for _ in range(chaos.random.randint(1, 4) if _waiting() < _ENOUGH_WAITING else 0):
            chaos.ask()
        # A fault that hits workers before they have begun anything proves little.
        with contextlib.suppress(TimeoutError):
            stack.until(lambda before=begun: _begun(evidence) > before, seconds=15)
        time.sleep(chaos.random.uniform(0, 0.6))
        begun = _begun(evidence)
        chaos.hurt()
        if number % 20 == 0:
            print(f"  round {number}, {time.monotonic() - began:.0f} s, {_waiting()} jobs on their way", flush=True)
    return _report(chaos, evidence, mark, time.monotonic() - began)


def _waiting() -> int:
    from left4me.jobs.models import Job

    return Job.objects.live().count()


def _begun(evidence: Path) -> int:
    """How many runs there were so far, of any job."""
    journal = evidence / "journal"
    return journal.read_text().count("ran ") if journal.exists() else 0


def _report(chaos: Chaos, evidence: Path, mark: str, seconds: float) -> int:
    from django.db.models import Count

    from left4me.jobs.models import Job, JobLock

    idle_since = _let_it_settle()
    stuck = list(Job.objects.live().values_list("pk", "state"))
    for worker in chaos.workers:
        stack.kill(worker)
    time.sleep(2)
    journal = (evidence / "journal").read_text().splitlines()
    orphans = [pid for pid in Path("/proc").glob("[0-9]*") if mark in _command_line(pid)]
    for row in Job.objects.values("state").annotate(n=Count("pk")).order_by("state"):
        print(f"{row['state']:<34}{row['n']:8}")
    for what, count in sorted(chaos.done.items()):
        print(f"{what:<34}{count:8}")
    again = Job.objects.filter(attempt__gt=1).count()
    print(f"{'run again after their worker died':<34}{again:8}")
    print(f"{'seconds of faults':<34}{seconds:8.0f}")
    print(f"{'seconds to settle afterwards':<34}{idle_since:8.1f}")
    asked = Job.objects.count()
    counts: dict[str, Any] = {
        "jobs lost": asked - Job.objects.ended().count() - len(stuck),
        "jobs run twice at the same time": sum(line.startswith("twice") for line in journal),
        "conflicting jobs at the same time": sum(line.startswith("conflict") for line in journal),
        "jobs stuck 30 s after the last fault": len(stuck),
        "locks without a live job": JobLock.objects.exclude(job__in=Job.objects.live()).count(),
        "orphan child processes": len(orphans),
        "log numbers missing or double": _gaps(),
    }
    print(f"{'jobs asked for':<34}{asked:8}")
    for what, count in counts.items():
        print(f"{what:<38}{count:4}")
    for line in journal:
        if not line.startswith("ran "):
            print(line)
    return int(any(counts.values()))


def _let_it_settle() -> float:
    """Wait for the queue to run empty: 30 s without any job ending means that the rest is stuck."""
    from left4me.jobs.models import Job

    began = moved = time.monotonic()
    left = _waiting()
    while left and time.monotonic() - moved < 30:
        time.sleep(0.2)
        now = Job.objects.live().count()
        if now != left:
            left, moved = now, time.monotonic()
    return time.monotonic() - began


def _gaps() -> int:
    from django.db.models import Count, Max, Min

    from left4me.jobs.models import JobLog

    spans = JobLog.objects.values("job").annotate(n=Count("pk"), first=Min("seq"), last=Max("seq"))
    return sum((row["first"], row["last"]) != (1, row["n"]) for row in spans)


def _command_line(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
