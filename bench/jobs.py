"""Print what the job engine costs: from click to first log line, claims from long queues, floods of lines, long logs.

Everything is real: a worker process, Redis, the database (SQLite, or DATABASE_URL). The floor beside the first figure
is Celery alone: a bare message to the same worker and back over Redis.  bench/jobs [PART...]

bench/jobs --leak N runs N jobs and prints what memory the worker has after each thousand.
"""

from __future__ import annotations

import contextlib
import cProfile
import json
import logging
import os
import pstats
import sys
import threading
import time
from unittest import mock

from bench import figures, stack
from bench.figures import Figure
from bench.peers import celery_message

CLICKS = int(os.environ.get("BENCH_CLICKS", "200"))
QUEUED = int(os.environ.get("BENCH_QUEUED", "5000"))
LINES = int(os.environ.get("BENCH_LINES", "1000000"))
JOBS = 300
COUNTED = 20
ONE_LINE = {"lines": 1}
_TRANSACTION = {"BEGIN", "BEGIN IMMEDIATE", "COMMIT"}


def row(name: str, value: float, unit: str, *, work: str = "", who: str = figures.US) -> None:
    """Print a figure, and record it under its name or as `work`, with the database where that is not SQLite."""
    from django.db import connection

    database = "" if connection.vendor == "sqlite" else ", PostgreSQL"
    figures.record(
        f"{name:<66}{value:12.1f} {unit}", Figure("jobs", f"{(work or name).strip()}{database}", value, unit, who)
    )


def clicks() -> None:
    """From the request's first query to the line's arrival over Redis, one click at a time."""
    import redis
    from django.conf import settings

    from left4me.jobs import actions
    from left4me.jobs.models import Job

    arrived: dict[int, float] = {}
    ready = threading.Event()

    def listen() -> None:
        subscription = redis.Redis.from_url(settings.REDIS_URL).pubsub(ignore_subscribe_messages=True)
        subscription.psubscribe("left4me:job:*")
        ready.set()
        with contextlib.suppress(redis.ConnectionError):  # the end of the bench
            for message in subscription.listen():
                lines = json.loads(message["data"]).get("lines", [])
                if any(line["stream"] == "stdout" for line in lines):
                    arrived.setdefault(int(message["channel"].rpartition(b":")[2]), time.perf_counter())

    threading.Thread(target=listen, daemon=True).start()
    ready.wait(5)
    taken, answered = [], []
    for number in range(CLICKS + 5):
        began = time.perf_counter()
        job = actions.request(
            operation="diagnostic", resource=f"diagnostic:{number + 1}", by=None, host="local", params=ONE_LINE
        )
        answered.append(1000 * (time.perf_counter() - began))
        stack.until(lambda job=job: job.pk in arrived, what="the first line")
        taken.append(1000 * (arrived[job.pk] - began))
        stack.until(lambda job=job: Job.objects.get(pk=job.pk).has_ended, what="the end")
        time.sleep(0.03)
    for name, values in (("click to job row and wake-up sent", answered), ("click to first log line", taken)):
        row(f"{name}, p50", stack.percentile(values[5:], 0.5), "ms")
        row(f"{name}, p99", stack.percentile(values[5:], 0.99), "ms")


def bare_celery() -> None:
    taken = celery_message.send(CLICKS + 5)[5:]
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        value = stack.percentile(taken, share)
        work = f"click to first log line, {name}"
        row(f"the same by a bare Celery message, {name}", value, "ms", work=work, who="bare Celery message")
    celery_message.rate(JOBS)
    value = celery_message.rate(JOBS)
    work = f"{JOBS} jobs of one line: asked for and run"
    row(f"{JOBS} bare Celery messages: sent and run", value, "jobs/s", work=work, who="bare Celery message")


def throughput() -> None:
    from left4me.jobs import actions
    from left4me.jobs.models import Job

    began = time.perf_counter()
    for number in range(JOBS):
        actions.request(
            operation="diagnostic", resource=f"diagnostic:{number + 1}", by=None, host="local", params=ONE_LINE
        )
    asked = time.perf_counter() - began
    stack.until(lambda: not Job.objects.live().exists(), seconds=300, what="the last job")
    row(f"{JOBS} jobs of one line: asked for", JOBS / asked, "jobs/s")
    row(f"{JOBS} jobs of one line: asked for and run", JOBS / (time.perf_counter() - began), "jobs/s")


def costs() -> None:
    """What a job of one line costs in one process and thread, without Celery's worker: counts, and processor time."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext
    from redis.connection import AbstractConnection

    from left4me.jobs import actions
    from left4me.jobs.models import Job
    from left4me.jobs.worker import JobWorker

    logging.disable(logging.INFO)
    worker = JobWorker(host="local", slots=4)
    worker._update_may_claim()
    asked: list[int] = []

    def ask() -> None:
        for _ in range(COUNTED):
            resource = f"diagnostic:{len(asked) + 1}"
            job = actions.request(operation="diagnostic", resource=resource, by=None, host="local", params=ONE_LINE)
            asked.append(job.pk)

    def run() -> None:
        while asked:
            worker.run(asked.pop(0))

    ask(), run()
    send = AbstractConnection.send_packed_command
    print(f"{'a job of one line':<30}{'statements':>12}{'round trips':>13}{'function calls':>16}{'CPU, ms':>10}")
    counted: dict[str, list[float]] = {"asked for": [], "run": []}
    works = {"asked for": ask, "run": run}
    for name, work in works.items():
        with CaptureQueriesContext(connection) as queries:
            work()
        counted[name].append(len([each for each in queries if each["sql"] not in _TRANSACTION]) / COUNTED)
    for name, work in works.items():
        with mock.patch.object(AbstractConnection, "send_packed_command", autospec=True, side_effect=send) as sending:
            work()
        counted[name].append(sending.call_count / COUNTED)
    for name, work in works.items():
        with cProfile.Profile() as profile:
            work()
        counted[name].append(pstats.Stats(profile).total_calls / COUNTED)  # type: ignore[attr-defined]
    spent: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(10):
        for name, work in works.items():
            began = time.process_time()
            work()
            spent[name].append(1000 * (time.process_time() - began) / COUNTED)
    for name, (statements, round_trips, calls) in counted.items():
        milliseconds = stack.percentile(spent[name], 0.5)
        work_name = f"a job of one line, {name}"
        figures.record(
            f"  {name:<28}{statements:>12.1f}{round_trips:>13.1f}{calls:>16,.0f}{milliseconds:>10.2f}",
            Figure("jobs", f"{work_name}: statements", statements, "statements"),
            Figure("jobs", f"{work_name}: round trips to Redis", round_trips, "round trips"),
            Figure("jobs", f"{work_name}: function calls", round(calls), "calls"),
            Figure("jobs", f"{work_name}: CPU", milliseconds, "ms"),
        )
    logging.disable(logging.NOTSET)
    Job.objects.all().delete()


def flood() -> None:
    """How long a job is held up by its own log, beside what is kept of it."""
    from left4me.jobs import actions
    from left4me.jobs.models import Job

    said = 200_000
    job = actions.request(
        operation="diagnostic", resource="diagnostic:1", by=None, host="local", params={"lines": said}
    )
    stack.until(lambda: Job.objects.get(pk=job.pk).has_ended, seconds=300, what="the end")
    job.refresh_from_db()
    assert job.ran_for is not None
    seconds = job.ran_for.total_seconds()
    row(f"a job that says {said:,} lines at once", seconds, "s")
    row("  lines said", said / seconds, "lines/s")
    row("  lines kept (the rest is counted in one line)", job.last_seq, "lines")


def claims() -> None:
    """Claims from a queue that a running install blocks, then from one whose head is free."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext
    from django.utils import timezone

    from left4me.jobs import actions, transitions
    from left4me.jobs.leases import LEASE
    from left4me.jobs.models import Job, JobLock
    from left4me.jobs.states import State

    def claim(what: str) -> list[Job]:
        with CaptureQueriesContext(connection) as queries:
            began = time.perf_counter()
            found = transitions.claim(host="far", worker="bench", limit=1, now=timezone.now(), lease=LEASE)
            milliseconds = 1000 * (time.perf_counter() - began)
            said = f"claim, {what}: {len(found)} job, {len(queries)} queries"
            row(said, milliseconds, "ms", work=f"claim, {what}")
        return found

    for waiting in (10, QUEUED):
        Job.objects.all().delete()
        actions.request(operation="diagnostic", resource="game", by=None, host="far")
        (install,) = claim("empty queue")
        jobs = Job.objects.bulk_create(
            Job(operation="diagnostic", resource=f"server:{n % 100 + 1}", host="far") for n in range(waiting)
        )
        JobLock.objects.bulk_create(
            JobLock(job=job, resource=name, exclusive=exclusive)
            for job in jobs
            for name, exclusive in ((job.resource, True), ("game@far", False))
        )
        claim(f"{waiting} wait behind an install")
        transitions.finish(Job.objects.get(pk=install.pk), state=State.SUCCEEDED, now=timezone.now())
        claim(f"{waiting} wait, the first is free")
        for _ in range(98):
            transitions.claim(host="far", worker="bench", limit=1, now=timezone.now(), lease=LEASE)
        claim(f"{waiting} wait, those of 99 servers run")
        claim(f"{waiting} wait, those of all 100 servers run" if waiting > 100 else f"{waiting} wait, none is left")
    Job.objects.all().delete()


def long_log() -> None:
    """Page and stream of a job with very many lines, as a browser asks for them."""
    import urllib.request

    from django.conf import settings
    from django.contrib.auth import get_user_model
    from django.test import Client
    from django.utils import timezone

    from left4me.jobs.models import Job, JobLog
    from left4me.jobs.states import State

    user = get_user_model().objects.create(username="bench", is_admin=True)
    now = timezone.now()
    job = Job.objects.create(
        user=user, operation="diagnostic", resource="diagnostic:1", host="far", last_seq=LINES, started_at=now,
        state=State.RUNNING, worker="bench", attempt=1, lease_expires_at=now.replace(year=now.year + 1),
    )  # fmt: skip
    for first in range(1, LINES + 1, 50_000):
        JobLog.objects.bulk_create(
            JobLog(job=job, seq=seq, stream="stdout", line=f"line {seq} of a very long log", created_at=now)
            for seq in range(first, min(first + 50_000, LINES + 1))
        )
    client = Client()
    client.force_login(user)
    cookie = f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"
    process, port = stack.web()
    parts = {"page": "", "stream, first line": "/stream", "stream from the middle": f"/stream?last_seq={LINES // 2}"}
    for is_warm in (False, True):
        for what, path in parts.items():
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/jobs/{job.pk}{path}", headers={"Cookie": cookie}
            )
            began = time.perf_counter()
            with urllib.request.urlopen(request, timeout=30) as answer:
                if path:
                    while not answer.readline().startswith(b"id:"):
                        pass
                else:
                    answer.read()
                taken = 1000 * (time.perf_counter() - began)
            if is_warm:
                row(f"a job of {LINES:,} lines: {what}", taken, "ms")
    stack.kill(process)


def leak(jobs: int) -> None:
    """What memory the worker of production has after each thousand jobs."""
    from left4me.jobs import actions
    from left4me.jobs.models import Job

    worker = stack.start("worker", sys.executable, "-m", "left4me.worker")
    stack.beat()
    for number in range(1, jobs + 1):
        resource = f"diagnostic:{number % 50 + 1}"
        actions.request(operation="diagnostic", resource=resource, by=None, host="local", params={"lines": 20})
        if number % 50 == 0:
            stack.until(lambda: not Job.objects.live().exists(), seconds=600, what="the last job")
        if number % 1000 == 0 or number == 50:
            row(f"RSS of the worker after {number:,} jobs", stack.rss(worker.pid) / 1e6, "MB")


PARTS = {"clicks": clicks, "celery": bare_celery, "throughput": throughput, "flood": flood}
WITHOUT_WORKER = {"costs": costs, "claims": claims, "long-log": long_log}


def main() -> int:
    if sys.argv[1:2] == ["--leak"]:
        stack.prepare()
        stack.redis()
        leak(int(sys.argv[2]))
        return 0
    wanted = sys.argv[1:] or [*PARTS, *WITHOUT_WORKER]
    if unknown := set(wanted) - {*PARTS, *WITHOUT_WORKER}:
        print(f"no part {', '.join(unknown)}; there are: {', '.join([*PARTS, *WITHOUT_WORKER])}", file=sys.stderr)
        return 2
    stack.prepare()
    stack.redis()
    if with_worker := [name for name in PARTS if name in wanted]:
        worker = stack.worker(include="bench.peers.celery_nothing")
        from left4me.jobs import actions
        from left4me.jobs.models import Job

        first = actions.request(operation="diagnostic", resource="diagnostic:1", by=None, host="local")
        stack.until(lambda: Job.objects.get(pk=first.pk).has_ended, what="the worker")
        for name in with_worker:
            PARTS[name]()
        stack.kill(worker)
    for name in [name for name in WITHOUT_WORKER if name in wanted]:
        WITHOUT_WORKER[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
