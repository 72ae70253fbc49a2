from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from left4me.audit.models import AuditEntry
from left4me.jobs import resources, transitions
from left4me.jobs.models import Job, JobLog
from left4me.jobs.output import logs
from left4me.jobs.resources import Label
from left4me.jobs.states import State

pytestmark = pytest.mark.usefixtures("redis_client")


@pytest.fixture
def as_anna(client, anna):
    client.force_login(anna)
    return client


@pytest.fixture
def job(ask, anna):
    return ask("test-start", "server:12", by=anna)


@pytest.fixture
def stan_sees_server_12(monkeypatch, stan):
    """As if the app of servers had said so."""
    monkeypatch.setattr(resources, "_kinds", {})
    resources.register(
        "server",
        can_see=lambda user, number: user == stan and number == "12",
        can_operate=lambda user, number: False,
        labels=lambda numbers: {"12": Label("Friday versus", "/servers/12")},
    )


def _fail(job: Job) -> None:
    transitions.claim(host="local", worker="w", limit=1, now=timezone.now(), lease=timedelta(seconds=15))
    job.refresh_from_db()
    transitions.finish(job, state=State.FAILED, now=timezone.now(), exit_code=28, error="No room on the disk.")


def test_a_user_sees_their_own_jobs_and_an_admin_also_everybodys(client, ask, anna, ada, stan):
    ask("test-start", "server:12", by=anna)
    address = reverse("jobs:index")
    for user, query, seen in [
        (anna, "", True),
        (stan, "?whose=all", False),
        (ada, "", False),
        (ada, "?whose=all", True),
    ]:
        client.force_login(user)
        assert ("server:12" in client.get(address + query).content.decode()) is seen


def test_the_list_is_narrowed_by_state_operation_and_resource(as_anna, ask, anna):
    ask("test-start", "server:1", by=anna), ask("test-install", "game", by=anna)

    def shown(query: str) -> set[str]:
        return {job.resource for job in as_anna.get(reverse("jobs:index") + query).context["page"]}

    assert shown("") == {"server:1", "game"}
    assert shown("?state=live") == {"server:1", "game"}
    assert shown("?state=failed") == set()
    assert shown("?operation=test-install") == {"game"}
    assert shown("?resource=server:1") == {"server:1"}
    assert shown("?state=nonsense&operation=odd") == {"server:1", "game"}


def test_the_list_asks_as_often_for_fifty_jobs_as_for_two(as_anna, ask, anna, django_assert_max_num_queries):
    Job.objects.bulk_create(
        Job(user=anna, operation="test-start", resource=f"server:{n}", host="local") for n in range(1, 60)
    )
    with django_assert_max_num_queries(10):
        as_anna.get(reverse("jobs:index"))


def test_a_poll_gets_only_the_rows(as_anna, job):
    answer = as_anna.get(reverse("jobs:index"), headers={"HX-Request": "true", "HX-Target": "jobs"})
    assert b"<html" not in answer.content
    assert b"server:12" in answer.content


def test_the_page_of_a_job_shows_its_story_and_follows_its_stream(as_anna, job):
    page = as_anna.get(job.get_absolute_url()).content.decode()
    assert "Requested by anna." in page
    assert f'data-stream="job:{job.pk}" data-after="1"' in page
    assert reverse("jobs:cancel", args=[job.pk]) in page


def test_an_ended_job_shows_why_and_offers_to_try_again(as_anna, job):
    _fail(job)
    page = as_anna.get(job.get_absolute_url()).content.decode()
    assert "No room on the disk." in page
    assert "exit status 28" in page
    assert "data-stream=" not in page.replace('data-stream="event"', "")
    assert reverse("jobs:retry", args=[job.pk]) in page


def test_lines_are_shown_as_text_never_as_markup(as_anna, job):
    logs.append(job.pk, [("stdout", "<script>alert(1)</script>", timezone.now())])
    assert b"<script>alert(1)" not in as_anna.get(job.get_absolute_url()).content


def test_a_long_log_shows_its_end_and_is_downloaded_whole(as_anna, job):
    JobLog.objects.bulk_create(
        JobLog(job=job, seq=n, stream="stdout", line=f"line {n}", created_at=timezone.now()) for n in range(2, 6_001)
    )
    Job.objects.filter(pk=job.pk).update(last_seq=6_000)
    page = as_anna.get(job.get_absolute_url()).content.decode()
    assert "5500 earlier lines not shown" in page
    assert "line 5500<" not in page
    assert "line 6000<" in page
    download = as_anna.get(reverse("jobs:log", args=[job.pk]))
    lines = b"".join(download.streaming_content).decode().splitlines()
    assert len(lines) == 6_000
    assert lines[-1].endswith("stdout line 6000")


@pytest.mark.parametrize("name", ["detail", "log"])
def test_strangers_get_404(client, job, stan, name):
    client.force_login(stan)
    assert client.get(reverse(f"jobs:{name}", args=[job.pk])).status_code == 404


@pytest.mark.parametrize("name", ["cancel", "retry"])
def test_strangers_change_nothing(client, job, stan, name):
    client.force_login(stan)
    assert client.post(reverse(f"jobs:{name}", args=[job.pk])).status_code == 404
    job.refresh_from_db()
    assert job.state == State.QUEUED


def test_who_may_see_the_resource_sees_its_jobs_but_touches_them_only_when_allowed_to(
    client, job, stan, stan_sees_server_12
):
    client.force_login(stan)
    page = client.get(job.get_absolute_url())
    assert b'<a href="/servers/12">Friday versus</a>' in page.content
    assert reverse("jobs:cancel", args=[job.pk]).encode() not in page.content
    assert client.post(reverse("jobs:cancel", args=[job.pk])).status_code == 404
    assert b"Friday versus" in client.get(reverse("jobs:index") + "?resource=server:12").content


def test_cancel_and_retry_lead_to_the_job_and_are_on_record(as_anna, job, anna):
    assert as_anna.post(reverse("jobs:cancel", args=[job.pk])).url == job.get_absolute_url()
    job.refresh_from_db()
    assert job.state == State.CANCELLED
    answer = as_anna.post(reverse("jobs:retry", args=[job.pk]))
    again = Job.objects.latest("pk")
    assert answer.url == again.get_absolute_url() != job.get_absolute_url()
    assert set(AuditEntry.objects.filter(user=anna).values_list("action", flat=True)) == {"job.cancel", "job.retry"}


def test_what_is_refused_says_why(as_anna, job):
    answer = as_anna.post(reverse("jobs:retry", args=[job.pk]), follow=True)
    assert "Only failed or cancelled jobs can be retried." in answer.content.decode()


def test_only_an_admin_tests_the_worker(client, anna, ada):
    client.force_login(anna)
    assert client.post(reverse("jobs:diagnose")).status_code == 403
    client.force_login(ada)
    answer = client.post(reverse("jobs:diagnose"))
    assert Job.objects.get().operation == "diagnostic"
    assert answer.url == Job.objects.get().get_absolute_url()
