"""Print what the job engine costs: from click to first log line, claims from long queues, floods of lines, long logs.

Everything is real: a worker process, Redis, the database (SQLite, or DATABASE_URL). The floor beside the first figure
is Celery alone: a bare message to the same worker and back over Redis.  bench/jobs [PART...]

bench/jobs --leak N runs N jobs and prints what memory the worker has after each thousand.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time

from bench import figures, stack
from bench.figures import Figure
from bench.peers import celery_message

CLICKS = int(os.environ.get("BENCH_CLICKS", "200"))
QUEUED = int(os.environ.get("BENCH_QUEUED", "5000"))
LINES = int(os.environ.get("BENCH_LINES", "1000000"))


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
            operation="diagnostic", resource=f"diagnostic:{number + 1}", by=None, host="local", params={"lines": 1}
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


def throughput(jobs: int = 300) -> None:
    from left4me.jobs import actions
    from left4me.jobs.models import Job

    began = time.perf_counter()
    for number in range(jobs):
        actions.request(
            operation="diagnostic", resource=f"diagnostic:{number + 1}", by=None, host="local", params={"lines": 1}
        )
    asked = time.perf_counter() - began
    stack.until(lambda: not Job.objects.live().exists(), seconds=300, what="the last job")
    row(f"{jobs} jobs of one line: asked for", jobs / asked, "jobs/s")
    row(f"{jobs} jobs of one line: asked for and run", jobs / (time.perf_counter() - began), "jobs/s")


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
WITHOUT_WORKER = {"claims": claims, "long-log": long_log}


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
    worker = stack.worker()
    from left4me.jobs import actions
    from left4me.jobs.models import Job

    first = actions.request(operation="diagnostic", resource="diagnostic:1", by=None, host="local")
    stack.until(lambda: Job.objects.get(pk=first.pk).has_ended, what="the worker")
    for name in [name for name in PARTS if name in wanted]:
        PARTS[name]()
    stack.kill(worker)
    for name in [name for name in WITHOUT_WORKER if name in wanted]:
        WITHOUT_WORKER[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
