"""The bell: what finished, failed or needs attention since a user last looked."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from left4me.jobs.models import Job
from left4me.site import bell
from left4me.testing.cast import Cast
from servers.models import Server
from servers.tests.factories import make_host, make_server

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def host(db: None):
    return make_host(last_seen_at=timezone.now())


@pytest.fixture
def anna(cast: Cast, client: Client) -> Client:
    client.force_login(cast.owner)
    return client


def end(user, *, seconds: int = 60, state: str = "succeeded", ago: timedelta = timedelta(), **fields) -> Job:
    finished_at = timezone.now() - ago
    return Job.objects.create(
        user=user,
        operation="start",
        resource="server:1",
        host="local",
        state=state,
        started_at=finished_at - timedelta(seconds=seconds),
        finished_at=finished_at,
        **fields,
    )


def unread(user) -> int:
    return bell.of(user, now=timezone.now()).unread


def test_own_jobs_that_took_long_or_failed_are_new_until_they_are_seen(cast: Cast, anna: Client) -> None:
    end(cast.owner, seconds=60)
    end(cast.owner, seconds=1, state="failed", error="no room")
    end(cast.owner, seconds=1)
    end(cast.owner, seconds=60, state="cancelled")
    end(cast.owner, ago=timedelta(days=3))
    end(cast.stranger)
    assert unread(cast.owner) == 2
    part = anna.get("/bell", headers=HTMX).content.decode()
    assert 'id="bell-count"' in part and "2 new" in part and "<html" not in part
    assert anna.post("/bell/seen").status_code == 302
    assert unread(cast.owner) == 0
    assert "Start" in anna.get("/bell").content.decode(), "what was seen stays in the list"
    end(cast.owner)
    assert unread(cast.owner) == 1


def test_a_reason_for_attention_is_new_once(cast: Cast, anna: Client) -> None:
    server = make_server(cast.owner, name="Friday", desired_state="running", actual_state="gave_up")
    news = bell.of(cast.owner, now=timezone.now())
    assert (news.unread, news.keys) == (1, [f"server:{server.pk}:gave_up"])
    anna.post("/bell/seen", {"reasons": " ".join(news.keys)}, headers=HTMX)
    assert unread(cast.owner) == 0
    assert "Friday" in anna.get("/bell", headers=HTMX).content.decode()
    Server.objects.update(actual_state="stopped", last_error="Port taken.")
    assert unread(cast.owner) == 1, "another reason of the same server"


def test_what_came_after_the_bell_was_shown_stays_new(cast: Cast, anna: Client) -> None:
    shown_at = timezone.now()
    end(cast.owner)
    anna.post("/bell/seen", {"until": shown_at.isoformat()})
    assert unread(cast.owner) == 1
    for wrong in ("tomorrow", "2030-13-45T00:00:00", "2030-01-01T00:00:00", "9999-01-01T00:00:00Z"):
        anna.post("/bell/seen", {"until": wrong})
        assert unread(cast.owner) == 0
        end(cast.owner)
        assert unread(cast.owner) == 1


def test_the_number_of_queries_is_fixed(cast: Cast) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as captured:
            bell.of(cast.owner, now=timezone.now())
        return len(captured)

    make_server(cast.owner, desired_state="running", actual_state="gave_up")
    end(cast.owner)
    few = count()
    for _number in range(20):
        make_server(cast.owner, desired_state="running", actual_state="gave_up")
        end(cast.owner)
    assert count() == few


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_opening_the_bell_shows_the_news_and_marks_them(cast: Cast, sign_in, axe) -> None:
    make_server(cast.owner, name="Friday", desired_state="running", actual_state="gave_up")
    page = sign_in(cast.owner)
    page.goto("/blueprints")
    count = page.locator("#bell-count")
    count.get_by_text("1 new").wait_for(state="attached")
    page.locator(".bell > summary").click()
    page.locator(".bell").get_by_role("link", name="Friday").wait_for()
    axe(page)
    page.wait_for_function("!document.querySelector('#bell-count').textContent.trim()")
    page.reload()
    page.locator(".bell a", has_text="Friday").wait_for(state="attached")
    assert not count.inner_text().strip()
