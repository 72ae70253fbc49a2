"""Streams as their viewers get them: what is stored, what is said, the end; and who gets none."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from left4me.core.web.processes.counts import SharedCounts
from left4me.core.web.sse import OpenStreams, application, viewer
from left4me.core.web.sse.tests.lines import ANNA, Lines, run
from left4me.testing.streams import Browser

pytestmark = pytest.mark.usefixtures("redis_client")


@pytest.fixture
def lines() -> Lines:
    return Lines()


def watch(app: Any, path: str = "/lines/a", **options: str) -> Browser:
    return Browser(app, path, **options)


def test_a_viewer_gets_what_is_stored_then_what_is_said_then_the_end(lines: Lines):
    lines.store(3)

    async def scenario(app: Any) -> None:
        browser = watch(app)
        await browser.until_seq(3)
        lines.say()
        lines.say(2)
        await browser.until_seq(6)
        lines.finish()
        await browser.until(lambda: browser.closed)
        assert browser.seqs == [1, 2, 3, 4, 5, 6]
        assert [event.kind for event in browser.events][-1] == "end"
        assert browser.status == 200
        assert browser.headers[b"content-type"] == b"text/event-stream; charset=utf-8"
        assert browser.headers[b"cache-control"] == b"no-store"
        assert browser.raw.startswith(b"retry: 2000\n\n")
        await browser.task

    run(scenario, {"a": lines})


def test_what_is_stored_is_read_in_pages(lines: Lines):
    lines.page = 2
    lines.store(5)
    lines.finish(quietly=True)

    async def scenario(app: Any) -> None:
        browser = watch(app)
        await browser.task
        assert browser.seqs == [1, 2, 3, 4, 5]
        assert lines.replays == [(0,), (2,), (4,)]
        assert browser.closed

    run(scenario, {"a": lines})


@pytest.mark.parametrize(
    ("query", "headers", "seqs"),
    [
        ("", {}, [1, 2, 3]),
        ("last_seq=2", {}, [3]),
        ("last_seq=1", {"last_event_id": "2"}, [3]),
        ("last_seq=x", {}, [1, 2, 3]),
        ("last_seq=9", {}, []),
    ],
)
def test_a_viewer_that_comes_back_goes_on_where_it_was(lines: Lines, query: str, headers: dict[str, str], seqs):
    lines.store(3)
    lines.finish(quietly=True)

    async def scenario(app: Any) -> None:
        browser = watch(app, query=query, **headers)
        await browser.task
        assert browser.seqs == seqs

    run(scenario, {"a": lines})


def test_what_messages_lost_is_read_before_the_next_line_and_what_is_said_twice_is_sent_once(lines: Lines):
    lines.store(1)

    async def scenario(app: Any) -> None:
        browser = watch(app)
        await browser.until_seq(1)
        lines.store(3)
        lines.say()
        await browser.until_seq(5)
        # The first of these has been sent already.
        lines.publish(after=4, lines=[5, *lines.store(1)])
        await browser.until_seq(6)
        lines.publish(after=0, lines=[1, 2])
        lines.publish(note="passes by")
        await browser.until(lambda: browser.events[-1].kind == "note")
        lines.say()
        await browser.until_seq(7)
        assert browser.seqs == list(range(1, 8))
        assert [event.id for event in browser.events if event.kind == "note"] == [None]
        await browser.leave()

    run(scenario, {"a": lines})


def test_an_end_that_is_told_before_the_last_lines_were_read_comes_after_them(lines: Lines):
    lines.store(1)

    async def scenario(app: Any) -> None:
        browser = watch(app)
        await browser.until_seq(1)
        lines.store(2)
        lines.finish()
        await browser.until(lambda: browser.closed)
        assert browser.seqs == [1, 2, 3]
        assert [event.kind for event in browser.events].count("end") == 1

    run(scenario, {"a": lines})


def test_a_look_finds_what_no_message_told(lines: Lines, monkeypatch):
    monkeypatch.setattr("left4me.core.web.sse.hub._TICK", 0.05)
    _with_look(monkeypatch, 0.1)

    async def scenario(app: Any) -> None:
        browser = watch(app)
        await browser.until(lambda: browser.status == 200)
        lines.store(2)
        await browser.until_seq(2)
        lines.finish(quietly=True)
        await browser.until(lambda: browser.closed)
        assert browser.events[-1].kind == "end"

    run(scenario, {"a": lines})


def _with_look(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Viewers look so often; the default of their argument is bound already."""
    defaults = viewer.Viewer.__init__.__kwdefaults__
    monkeypatch.setitem(defaults, "look_seconds", seconds)


@pytest.mark.parametrize("why", ["not allowed", "signed out"])
def test_a_stream_closes_without_an_end_when_the_right_to_see_it_ends(lines: Lines, monkeypatch, why: str):
    monkeypatch.setattr("left4me.core.web.sse.hub._TICK", 0.05)
    _with_look(monkeypatch, 0.1)
    users = {"anna": ANNA}

    async def scenario(app: Any) -> None:
        lines.store(1)
        browser = watch(app)
        await browser.until_seq(1)
        if why == "not allowed":
            lines.allowed = False
        else:
            users.clear()
        await browser.until(lambda: browser.closed)
        assert [event.kind for event in browser.events] == ["line"]

    run(scenario, {"a": lines}, users=users)


def test_a_quiet_stream_says_that_it_is_there(lines: Lines, monkeypatch):
    monkeypatch.setattr("left4me.core.web.sse.hub._TICK", 0.02)
    monkeypatch.setattr(viewer, "KEEP_ALIVE_SECONDS", 0.1)

    async def scenario(app: Any) -> None:
        browser = watch(app)
        await browser.until(lambda: browser.raw.count(b": still here\n\n") == 2)
        await browser.leave()

    run(scenario, {"a": lines})


@pytest.mark.parametrize(
    ("path", "user", "status", "title"),
    [
        ("/lines/a", "nobody", 401, "Authentication required"),
        ("/lines/a", "stan", 404, "Not found"),
        ("/lines/b", "anna", 404, "Not found"),
    ],
)
def test_who_may_not_see_a_stream_gets_none(lines: Lines, path: str, user: str, status: int, title: str):
    async def scenario(app: Any) -> None:
        browser = watch(app, path, x_user=user)
        await browser.task
        assert browser.status == status
        assert title.encode() in browser.raw
        assert app.open_streams == 0

    run(scenario, {"a": lines})


def test_an_application_serves_its_paths_as_a_whole_and_only_reads(lines: Lines):
    async def scenario(app: Any) -> None:
        assert [app.serves(path) for path in ("/lines/a", "/lines/a/b", "/x/lines/a", "/pages/b")] == [
            True,
            False,
            False,
            True,
        ]
        sent: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/lines/a", "query_string": b"", "headers": []}
        await app(scope, None, send)
        assert sent[0]["status"] == 405

    run(scenario, {"a": lines})


def test_a_user_has_so_many_streams_and_gets_the_place_back_when_one_is_left(lines: Lines):
    lines.store(1)

    async def scenario(app: Any) -> None:
        first, second = watch(app), watch(app)
        await asyncio.gather(first.until_seq(1), second.until_seq(1))
        assert app.open_streams == 2
        third = watch(app)
        await third.task
        assert third.status == 429
        await first.leave()
        fourth = watch(app)
        await fourth.until_seq(1)
        await asyncio.gather(second.leave(), fourth.leave())
        assert app.open_streams == 0

    run(scenario, {"a": lines}, most=2)


def test_a_process_has_so_many_streams_and_says_when_to_try_again(lines: Lines):
    lines.store(1)

    async def scenario(app: Any) -> None:
        app.limit_streams(1)
        first = watch(app)
        await first.until_seq(1)
        second = watch(app)
        await second.task
        assert (second.status, second.headers[b"retry-after"]) == (503, b"5")
        await first.leave()

    run(scenario, {"a": lines})


def test_streams_are_counted_for_each_user_in_all_processes():
    counts = SharedCounts(2, OpenStreams.COLUMNS)
    one, other = OpenStreams(counts, 0), OpenStreams(counts, 1)
    one.add(1, 1)
    one.add(1, 1)
    other.add(1, 1)
    other.add(2, 1)
    one.add(1, -1)
    assert (one.here, other.here) == (1, 2)
    assert one.everywhere == other.everywhere == 3
    assert [one.of(user) for user in (1, 2, 3, 0)] == [2, 1, 0, 0]
    counts.clear(1)
    assert (one.everywhere, one.of(1), one.of(2)) == (1, 1, 0)
    # The last column belongs to a user too.
    one.add(OpenStreams._USERS - 1, 1)
    assert (one.everywhere, one.of(OpenStreams._USERS - 1)) == (2, 1)
    assert OpenStreams().everywhere == 0


def test_a_stream_that_fails_ends_and_gives_its_place_back(lines: Lines, caplog):
    lines.fault = RuntimeError("odd")

    async def scenario(app: Any) -> None:
        browser = watch(app)
        await browser.task
        assert (browser.status, browser.closed) == (200, True)
        assert app.open_streams == 0

    run(scenario, {"a": lines})
    assert "Stream of lines:a failed" in caplog.text


def test_viewers_with_the_same_credentials_share_a_look_and_others_do_not():
    assert application._credential({}) == application._credential({"x": "y"})
    given = [{}, {"cookie": "a"}, {"authorization": "a"}, {"authorization": "a", "cookie": "a"}]
    assert len({application._credential(each) for each in given}) == 4
    assert "secret" not in application._credential({"cookie": "secret"})


# --- several streams on one connection ---


def kinds_on(browser: Browser) -> list[tuple[str, str]]:
    """The events with the stream that each belongs to."""
    found, on = [], "-"
    for event in browser.events:
        if event.kind == "on":
            on = event.data
        else:
            found.append((on, event.kind))
    return found


def test_one_connection_carries_further_streams_from_where_the_client_has_them(lines: Lines):
    log, job = Lines("log"), Lines("job")
    lines.store(1)
    log.store(3)
    job.store(1)

    async def scenario(app: Any) -> None:
        page = watch(app, "/pages/a", query="log=7:2&job=8&log=x&log=9999999999999999999")
        await page.until(lambda: len([kind for _, kind in kinds_on(page) if kind == "line"]) == 3)
        assert page.events[0].kind == "still"
        assert sorted(kinds_on(page)[1:]) == [("-", "line"), ("job:8", "line"), ("log:7", "line")]
        job.finish()
        await page.until(lambda: ("job:8", "end") in kinds_on(page))
        log.allowed = True
        lines.say()
        await page.until(lambda: kinds_on(page).count(("-", "line")) == 2)
        assert "gone" not in {kind for _, kind in kinds_on(page)}, "it ended by itself"
        lines.finish()
        await page.until(lambda: page.closed)

    run(scenario, {"a": lines, "7": log, "8": job})


def test_a_stream_that_one_may_not_see_or_that_fails_is_gone_and_the_connection_stays(lines: Lines, caplog):
    broken = Lines("broken")
    broken.fault = RuntimeError("odd")

    async def scenario(app: Any) -> None:
        page = watch(app, "/pages/a", query="log=5&job=6")
        await page.until(lambda: [event.kind for event in page.events].count("gone") == 2)
        assert {event.data for event in page.events if event.kind == "gone"} == {"log:5", "job:6"}
        lines.say()
        await page.until_seq(1)
        await page.leave()

    run(scenario, {"a": lines, "6": broken})
    assert "Stream job:6 failed" in caplog.text


def test_a_connection_carries_so_many_streams_of_each_kind(lines: Lines):
    async def scenario(app: Any) -> None:
        query = "&".join(f"{kind}={number}" for number in range(1, 7) for kind in ("log", "job"))
        page = watch(app, "/pages/a", query=query)
        await page.until(lambda: len([event for event in page.events if event.kind == "gone"]) == 8)
        lines.say()
        await page.until_seq(1)
        gone = {event.data for event in page.events if event.kind == "gone"}
        assert gone == {f"{kind}:{number}" for number in range(1, 5) for kind in ("log", "job")}
        await page.leave()

    run(scenario, {"a": lines})


def test_a_page_s_connection_stays_alive_by_events_and_its_parts_say_nothing(lines: Lines, monkeypatch):
    monkeypatch.setattr("left4me.core.web.sse.hub._TICK", 0.02)
    monkeypatch.setattr(viewer, "KEEP_ALIVE_SECONDS", 0.1)

    async def scenario(app: Any) -> None:
        page = watch(app, "/pages/a", query="log=7")
        await page.until(lambda: [event.kind for event in page.events].count("still") == 3)
        assert {event.kind for event in page.events} == {"still"}
        assert b": still here" not in page.raw
        await page.leave()

    run(scenario, {"a": lines, "7": Lines("log")})
