"""The incident of a failed job: reported, closed, and whom it concerns."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from left4me.alerts import incidents
from left4me.jobs import failure_alerts, resources
from left4me.jobs.models import Job
from left4me.jobs.resources import Label
from left4me.jobs.states import State
from left4me.jobs.tests.conftest import NOW


@pytest.fixture
def told(monkeypatch) -> list[Any]:
    calls: list[Any] = []
    for name in ("close", "report", "complete"):
        monkeypatch.setattr(incidents, name, lambda what, *, now, name=name: calls.append((name, what, now)))
    return calls


@pytest.fixture
def kinds(monkeypatch) -> None:
    monkeypatch.setattr(resources, "_kinds", {})


def job(state: State, **fields: Any) -> Job:
    given: dict[str, Any] = {
        "pk": 7,
        "operation": "test-start",
        "resource": "server:1",
        "host": "one",
        "error": "Why.",
    }
    return Job(**{**given, "state": state, **fields})


@pytest.mark.django_db
@pytest.mark.usefixtures("kinds")
def test_a_failure_is_reported_and_a_success_closes_it(told):
    failure_alerts.job_has_ended(job(State.FAILED), now=NOW)
    failure_alerts.job_has_ended(job(State.CANCELLED), now=NOW)
    failure_alerts.job_has_ended(job(State.SUCCEEDED), now=NOW)
    (reported, report, _), closed = told
    assert reported == "report"
    assert report.key == "job:test-start:server:1"
    assert closed == ("close", ["job:test-start:server:1"], NOW)
    assert (report.title, report.text, report.path) == ("“Start” failed: server:1", "Why.", "/jobs/7")
    assert (report.subject, report.owners) == ("server:1", set())


@pytest.mark.django_db
@pytest.mark.usefixtures("kinds")
def test_only_a_failure_is_completed_by_the_web(told):
    for state in (State.SUCCEEDED, State.CANCELLED, State.FAILED):
        failure_alerts.complete(job(state), now=NOW)
    assert [name for name, _, _ in told] == ["complete"]


@pytest.mark.django_db
@pytest.mark.usefixtures("kinds")
def test_what_belongs_to_a_host_fails_on_each_host_by_itself(told):
    for host in ("one", "two"):
        failure_alerts.job_has_ended(job(State.FAILED, resource="game", host=host), now=NOW)
    assert [report.key for _, report, _ in told] == ["job:test-start:game@one", "job:test-start:game@two"]


@pytest.mark.usefixtures("kinds")
def test_it_names_the_resource_and_concerns_its_owners_and_who_asked_and_still_sees_it(told, anna, stan):
    resources.register(
        "server",
        can_see=lambda user, number: user.pk == anna.pk,
        labels=lambda numbers: {"1": Label("Friday", "/servers/1")},
        owners=lambda number: [500],
    )
    for user in (anna, stan, SimpleNamespace(pk=None)):
        failure_alerts.job_has_ended(job(State.FAILED, user_id=user.pk, error="x" * 600), now=NOW)
    reports = [report for _, report, _ in told]
    assert [report.owners for report in reports] == [{500, anna.pk}, {500}, {500}]
    assert reports[0].title == "“Start” failed: Friday"
    assert len(reports[0].text) == 500
