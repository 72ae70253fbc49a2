from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from django.utils import timezone

from left4me.core.redis.client import async_subscriber
from left4me.core.web import sse
from left4me.core.web.processes.counts import SharedCounts
from left4me.jobs import broadcast, streams, transitions
from left4me.jobs.models import Job, JobLog
from left4me.jobs.output import logs
from left4me.jobs.states import State
from left4me.testing.streams import Browser

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_client")]


@pytest.fixture
def job(ask, anna):
    return ask("test-start", by=anna)


@pytest.fixture
def watch(anna):
    """Run a scenario with an application whose streams anna watches."""

    def watch(scenario: Any, *, streams_per_user: int = 10) -> None:
        async def run() -> None:
            application = sse.Application(
                sse.Hub(async_subscriber),
                [sse.Route(r"/jobs/(\d+)/stream", streams.open_stream)],
                authenticate=lambda headers: allowed.get(headers.get("x-user", "anna")),
                streams_per_user=streams_per_user,
            )
            try:
                await scenario(application)
            finally:
                await application.hub.stop()
                await sync_to_async(connections.close_all)()

        allowed = {"anna": anna}
        watch.allowed = allowed
        try:
            asyncio.run(run())
        finally:
            connections.close_all()

    return watch


@sync_to_async
def say(job: Job, *lines: str) -> None:
    logs.append(job.pk, [("stdout", line, timezone.now()) for line in lines])


@sync_to_async
def store_silently(job: Job, count: int) -> None:
    """Lines that no live message told of, as when Redis was away."""
    job.refresh_from_db()
    first = job.last_seq + 1
    JobLog.objects.bulk_create(
        JobLog(job=job, seq=seq, stream="stdout", line=f"line {seq}", created_at=timezone.now())
        for seq in range(first, first + count)
    )
    job.last_seq += count
    Job.objects.filter(pk=job.pk).update(last_seq=job.last_seq)


@sync_to_async
def end(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(state=State.RUNNING, lease_expires_at=timezone.now(), worker="w", attempt=1)
    job.refresh_from_db()
    assert transitions.finish(job, state=State.SUCCEEDED, now=timezone.now(), exit_code=0)


def test_a_viewer_gets_what_was_said_then_what_is_said_then_the_end(job, watch):
    async def scenario(application):
        await say(job, "two", "three")
        browser = Browser(application, f"/jobs/{job.pk}/stream")
        await browser.until_seq(3)
        await say(job, "four")
        await browser.until_seq(4)
        await end(job)
        await browser.until(lambda: browser.closed)
        assert browser.status == 200
        assert browser.seqs == [1, 2, 3, 4]
        last = browser.events[-1]
        assert (last.kind, json.loads(last.data)["state"]) == ("end", "succeeded")
        await browser.task

    watch(scenario)


def test_a_viewer_that_comes_back_goes_on_where_it_was(job, watch):
    async def scenario(application):
        await say(job, *(f"line {n}" for n in range(2, 11)))
        await end(job)
        by_query = Browser(application, f"/jobs/{job.pk}/stream", query="last_seq=8")
        by_header = Browser(application, f"/jobs/{job.pk}/stream", query="last_seq=2", last_event_id="9")
        await asyncio.gather(by_query.task, by_header.task)
        assert by_query.seqs == [9, 10]
        assert by_header.seqs == [10]

    watch(scenario)


@pytest.mark.parametrize("odd", ["last_seq=-3", "last_seq=x", "last_seq=9999999", "last_seq=" + "9" * 400])
def test_a_position_that_cannot_be_does_no_harm(job, watch, odd):
    async def scenario(application):
        await end(job)
        browser = Browser(application, f"/jobs/{job.pk}/stream", query=odd)
        await browser.task
        assert browser.events[-1].kind == "end"

    watch(scenario)


def test_a_long_log_is_replayed_from_its_last_2000_lines_with_a_note_of_what_was_left_out(job, watch):
    async def scenario(application):
        await store_silently(job, 4_999)
        await end(job)
        browser = Browser(application, f"/jobs/{job.pk}/stream")
        await browser.task
        assert browser.seqs == list(range(3_001, 5_001))
        note = browser.events[0]
        assert (note.kind, note.id, note.data) == ("note", "3000", "3,000 lines not shown")

    watch(scenario)


def test_a_slow_viewer_loses_nothing_and_holds_up_nobody(job, watch):
    async def scenario(application):
        slow = Browser(application, f"/jobs/{job.pk}/stream")
        quick = Browser(application, f"/jobs/{job.pk}/stream")
        await slow.until_seq(1)
        slow.slow = asyncio.Event()
        for number in range(400):
            await say(job, f"line {number}")
        await quick.until_seq(401)
        slow.slow.set()
        await end(job)
        await slow.until(lambda: slow.closed)
        assert slow.seqs == quick.seqs == list(range(1, 402))

    watch(scenario)


def test_progress_and_states_pass_by_without_a_number(job, watch):
    async def scenario(application):
        browser = Browser(application, f"/jobs/{job.pk}/stream")
        await browser.until_seq(1)
        await sync_to_async(broadcast.progress)(job.pk, {"phase": "download", "done": 1, "total": 2, "unit": "items"})
        await browser.until(lambda: browser.events[-1].kind == "progress")
        assert browser.events[-1].id is None
        assert json.loads(browser.events[-1].data)["done"] == 1
        await browser.leave()

    watch(scenario)


def test_strangers_and_those_not_signed_in_get_nothing(job, watch, stan):
    async def scenario(application):
        watch.allowed["stan"] = stan
        stranger = Browser(application, f"/jobs/{job.pk}/stream", x_user="stan")
        nobody = Browser(application, f"/jobs/{job.pk}/stream", x_user="nobody")
        missing = Browser(application, "/jobs/999999/stream")
        await asyncio.gather(stranger.task, nobody.task, missing.task)
        assert (stranger.status, nobody.status, missing.status) == (404, 401, 404)

    watch(scenario)


def test_a_user_has_so_many_streams_in_all_processes_of_the_web_together(job, watch, anna):
    counts = SharedCounts(2, sse.OpenStreams.COLUMNS)
    other = sse.OpenStreams(counts, 1)

    async def scenario(application):
        application.count_in(sse.OpenStreams(counts, 0))
        other.add(anna.pk, 1)
        first = Browser(application, f"/jobs/{job.pk}/stream")
        await first.until_seq(1)
        second = Browser(application, f"/jobs/{job.pk}/stream")
        await second.task
        assert second.status == 429
        assert application.open_streams == 2
        # The other process has died, and its parent clears what it had counted.
        counts.clear(1)
        third = Browser(application, f"/jobs/{job.pk}/stream")
        await third.until_seq(1)
        await asyncio.gather(first.leave(), third.leave())
        assert application.open_streams == 0

    watch(scenario, streams_per_user=2)


def test_a_line_that_comes_while_the_store_is_read_is_sent_once(job, monkeypatch):
    read = Job.objects.filter

    def read_and_say_more(*args, **kwargs):
        rows = list(read(*args, **kwargs))
        logs.append(job.pk, [("stdout", "came meanwhile", timezone.now())])
        return SimpleNamespace(first=lambda: rows[0])

    stream = streams.JobStream(job.pk)
    with monkeypatch.context() as patch:
        patch.setattr(Job, "objects", SimpleNamespace(filter=read_and_say_more))
        patch.setattr(logs, "Job", SimpleNamespace(objects=Job._default_manager))
        page = stream.replay((0,))
    assert [event.position for event in page.events] == [(1,)]
    assert page.position == (1,)
    assert [event.position for event in stream.replay(page.position).events] == [(2,)]
