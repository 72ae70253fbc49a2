"""The one connection of a page: who is told of which change, and what else it carries."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connections, transaction
from django.test import Client
from django.utils import timezone

from accounts import actions as accounts
from left4me import streams
from left4me.core.redis import keys, signals
from left4me.core.redis.client import async_subscriber
from left4me.core.web import sse
from left4me.core.web.sse import signals as sse_signals
from left4me.jobs import actions as jobs
from left4me.jobs import transitions
from left4me.jobs.output import logs
from left4me.jobs.states import State
from left4me.testing.cast import Cast
from left4me.testing.streams import Browser
from servers.actions import sharing
from servers.models import Server, ServerShare
from servers.state import state_log
from servers.tests.factories import make_host, make_server, share

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_client")]


_marks = itertools.count(1000)


def _names(browser: Browser) -> set[str]:
    return {name for event in browser.events if event.kind == "signal" for name in event.data.split()}


@pytest.fixture
def server(cast: Cast) -> Server:
    """Anna's server, which Otto operates and Vera views."""
    server = make_server(cast.owner, host=make_host())
    share(server, cast.operator, role="operator")
    share(server, cast.viewer, role="viewer")
    return server


@pytest.fixture
def live(client: Client) -> Callable[..., None]:
    """`live(scenario)` runs `scenario(open)`, in which `open(user, "job=7")` opens a page's connection."""

    def run_scenario(scenario: Any) -> None:
        async def run() -> None:
            # A hub belongs to one event loop.
            application = sse.Application(
                sse.Hub(async_subscriber),
                streams.application._routes,
                authenticate=streams.authenticate,
                streams_per_user=10,
            )

            async def open_page(user: Any, query: str = "", *, since: str = "1-0") -> Browser:
                await sync_to_async(client.force_login)(user)
                cookie = f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"
                query = f"last_seq={since}&{query}"
                browser = Browser(application, "/live", query=query, host="localhost", cookie=cookie)
                await browser.until(lambda: "still" in {event.kind for event in browser.events})
                # Subscribed: what is sent from here on arrives.
                mark = f"host:{next(_marks)}"
                await send([mark])
                await browser.until(lambda: {mark, "*"} & _names(browser))
                return browser

            try:
                await scenario(open_page)
            finally:
                await application.hub.stop()
                await sync_to_async(connections.close_all)()

        try:
            asyncio.run(run())
        finally:
            connections.close_all()

    return run_scenario


send = sync_to_async(signals.send)


def test_only_those_who_may_see_a_server_are_told_that_it_changed(cast, server, live):
    number = server.pk

    async def scenario(open_page):
        pages = {user: await open_page(user) for user in (cast.owner, cast.viewer, cast.admin, cast.stranger)}
        await send([f"server:{number}", f"players:{number}", f"order:{number}", f"host:{server.host_id}"])
        for page in pages.values():
            await page.until(lambda page=page: f"host:{server.host_id}" in _names(page))
        seen = {user: {name.partition(":")[0] for name in _names(page)} for user, page in pages.items()}
        everything = {"host", "server", "players", "order"}
        assert seen[cast.owner] == seen[cast.admin] == everything
        assert seen[cast.viewer] == everything - {"order"}, "commands are the operators' business"
        assert seen[cast.stranger] == {"host"}

    live(scenario)


def test_a_page_is_told_of_what_changed_since_it_was_made_and_of_nothing_before(cast, server, live):
    number = server.pk

    async def scenario(open_page):
        await send([f"server:{number}"])
        newest = (await async_newest())[0].decode()
        await send([f"players:{number}"])
        page = await open_page(cast.owner, since=newest)
        assert f"players:{number}" in _names(page)
        assert f"server:{number}" not in _names(page)

    live(scenario)


def test_a_page_that_was_away_for_long_is_told_to_ask_for_everything(cast, server, live, monkeypatch):
    monkeypatch.setattr(signals, "KEPT", 3)

    async def scenario(open_page):
        await send(["host:0"])
        newest = (await async_newest())[0].decode()
        for number in range(1, 6):
            await send([f"host:{number}"])
        page = await open_page(cast.owner, since=newest)
        assert "*" in _names(page)

    live(scenario)


def test_a_page_that_missed_very_many_changes_asks_for_everything_and_nothing_is_looked_up(
    cast, server, live, monkeypatch
):
    asked = []
    monkeypatch.setattr(sse_signals, "_MOST_MISSED", 3)
    monkeypatch.setitem(sse_signals._audiences, "server", lambda ids: asked.append(ids) or {})

    async def scenario(open_page):
        await send([f"host:{server.host_id}"])
        first = (await async_newest())[0].decode()
        await send([f"server:{number}" for number in range(1, 5)])
        page = await open_page(cast.owner, since=first)
        assert "*" in _names(page)
        assert not asked

    live(scenario)


def test_a_page_that_comes_back_reads_only_the_signals_that_it_has_missed(cast, server):
    for number in range(5):
        signals.send([f"host:{number + 100}"])
    seen = _entries()
    signals.send([f"server:{server.pk}"])
    page = sse.Signals(cast.owner).replay(sse_signals._position(seen[-1][0]))
    assert [event.data for event in page.events] == [f"server:{server.pk}"]
    assert page.position == sse_signals._position(_entries()[-1][0])


def test_who_may_hear_of_servers_is_found_without_sorting_their_names(cast, server, django_assert_num_queries):
    with django_assert_num_queries(2) as asked:
        found = sse_signals.audience_of([f"server:{server.pk}"])
    assert set(found[f"server:{server.pk}"]) == {cast.owner.pk, cast.operator.pk, cast.viewer.pk}
    assert not any("ORDER BY" in query["sql"] for query in asked.captured_queries)


def test_signals_wait_for_the_commit(cast, server, live):
    @sync_to_async
    def change() -> bool:
        with transaction.atomic():
            state_log.record_state(server, Server.State.RUNNING, now=timezone.now())
            return not _stored(f"server:{server.pk}")

    async def scenario(open_page):
        page = await open_page(cast.owner)
        assert await change(), "sent before the commit"
        await page.until(lambda: f"server:{server.pk}" in _names(page))

    live(scenario)


def test_every_step_of_a_job_is_told_to_those_who_may_see_it(cast, server, live):
    async def scenario(open_page):
        owner, stranger = await open_page(cast.owner), await open_page(cast.stranger)
        job = await sync_to_async(jobs.request)(
            operation="stop", resource=server.resource, by=cast.owner, host=server.host.name
        )
        name = f"job:{job.pk}"
        for step in (_claim, _finish):
            before = _count(owner, name)
            await sync_to_async(step)(job)
            await owner.until(lambda before=before: _count(owner, name) > before)
        assert server.resource in _names(owner)
        await send(["host:1"])
        await stranger.until(lambda: "host:1" in _names(stranger))
        assert name not in _names(stranger)

    live(scenario)


def test_one_connection_carries_the_lines_of_jobs_too(cast, server, live):
    async def scenario(open_page):
        job = await sync_to_async(jobs.request)(
            operation="stop", resource=server.resource, by=cast.owner, host=server.host.name
        )
        await _say(job, "said before")
        page = await open_page(cast.owner, f"job={job.pk}:2")
        await _say(job, "said while it was open")
        await page.until_seq(3)
        await sync_to_async(_claim)(job)
        await sync_to_async(_finish)(job)
        await page.until(lambda: "end" in {event.kind for event in page.events})
        assert page.seqs == [3], "what the page has is not sent again"
        on = ""
        for event in page.events:
            on = event.data if event.kind == "on" else on
            assert (event.kind in {"line", "end", "state", "progress"}) <= (on == f"job:{job.pk}")
        await send(["host:1"])
        await page.until(lambda: "host:1" in _names(page))
        assert not page.closed, "the end of a job is not the end of the connection"

    live(scenario)


def test_a_stream_that_one_may_not_see_is_gone_and_the_connection_stays(cast, server, live):
    async def scenario(open_page):
        page = await open_page(cast.stranger, f"log={server.pk}&log=x&job=999")
        await page.until(lambda: [event.kind for event in page.events].count("gone") == 2)
        await send(["host:1"])
        await page.until(lambda: "host:1" in _names(page))

    live(scenario)


def test_a_share_that_is_revoked_ends_the_log_and_tells_the_page_once_more(cast, server, live):
    shared = ServerShare.objects.get(server=server, user=cast.viewer)

    async def scenario(open_page):
        page = await open_page(cast.viewer, f"log={server.pk}")
        await sync_to_async(sharing.revoke)(share=shared, by=cast.owner)
        await page.until(lambda: server.resource in _names(page))
        await page.until(lambda: "gone" in {event.kind for event in page.events})
        before = _count(page, server.resource)
        await send([server.resource, "host:1"])
        await page.until(lambda: "host:1" in _names(page))
        assert _count(page, server.resource) == before

    live(scenario)


@pytest.mark.parametrize("end", ["sessions", "admin", "active"])
def test_a_connection_ends_at_once_when_the_rights_of_its_user_change(cast, server, live, end, rf):
    user = cast.admin if end == "admin" else cast.viewer

    @sync_to_async
    def change() -> None:
        if end == "sessions":
            accounts.revoke_session(session=user.sessions.get(), by=user, request=rf.post("/"))
        elif end == "admin":
            type(user).objects.filter(pk=cast.owner.pk).update(is_admin=True)
            accounts.set_admin(user=user, is_admin=False, by=None)
        else:
            accounts.set_active(user=user, is_active=False, by=cast.admin, request=rf.post("/"))

    async def scenario(open_page):
        page = await open_page(user)
        await change()
        await page.until(lambda: page.closed)

    live(scenario)


def test_a_signal_is_looked_up_once_for_all_who_watch(cast, server, live, monkeypatch):
    asked: list[object] = []
    real = sse.signals._audiences["server"]
    monkeypatch.setitem(sse.signals._audiences, "server", lambda ids: asked.append(ids) or real(ids))

    async def scenario(open_page):
        pages = [await open_page(cast.owner) for _ in range(4)]
        asked.clear()
        await send([server.resource])
        for page in pages:
            await page.until(lambda page=page: server.resource in _names(page))
        assert len(asked) == 1

    live(scenario)


@sync_to_async
def async_newest() -> Any:
    from left4me.core.redis.client import client

    return client().xrevrange(keys.SIGNALS, count=1)[0]


def _stored(name: str) -> bool:
    return any(name in fields[b"signal"].decode() for _, fields in _entries())


def _entries() -> Any:
    from left4me.core.redis.client import client

    return client().xrange(keys.SIGNALS)


@sync_to_async
def _say(job: Any, line: str) -> None:
    logs.append(job.pk, [("stdout", line, timezone.now())])


def _claim(job: Any) -> None:
    transitions.claim(host=job.host, worker="w", limit=1, now=timezone.now(), lease=timedelta(minutes=1))


def _finish(job: Any) -> None:
    job.refresh_from_db()
    assert transitions.finish(job, state=State.SUCCEEDED, now=timezone.now(), exit_code=0)


def _count(browser: Browser, name: str) -> int:
    return sum(event.kind == "signal" and name in event.data.split() for event in browser.events)
