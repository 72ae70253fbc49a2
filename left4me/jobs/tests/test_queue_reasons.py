from __future__ import annotations

import pytest

from left4me.jobs import queue_reasons, resources, transitions
from left4me.jobs.models import Job
from left4me.jobs.resources import Label
from left4me.jobs.tests.conftest import LEASE, NOW


@pytest.fixture(autouse=True)
def world(monkeypatch):
    """Hosts are well, and server 1 has a name."""
    monkeypatch.setattr(queue_reasons, "_host_health", [])
    monkeypatch.setattr(resources, "_kinds", {})
    resources.register("server", can_see=lambda *_: True, labels=lambda numbers: {"1": Label("Friday", "/servers/1")})


def reason(job: Job, user: object = None) -> str:
    queue_reasons.explain([job], user=user)
    return str(job.waiting_for)


def test_a_job_names_the_running_job_that_holds_what_it_needs(ask, anna, ada):
    start = ask("test-start", "server:1", by=anna)
    transitions.claim(host="local", worker="w", limit=1, now=NOW, lease=LEASE)
    install = ask("test-install", "game", by=ada)
    assert reason(install) == f"Waiting for “Start” (job {start.pk}), in progress"
    assert reason(install, user=ada) == f"Waiting for “Start” of Friday (job {start.pk}), in progress"


def test_a_job_names_the_queued_job_before_it_and_strangers_learn_no_name(ask, anna, ada, stan):
    start = ask("test-start", "server:1", by=anna)
    install = ask("test-install", "game", by=ada)
    second = ask("test-start", "server:2", by=stan)
    assert reason(install, user=stan) == f"Waiting for “Start” (job {start.pk}), queued before it"
    assert reason(second, user=stan) == f"Waiting for “Install” (job {install.pk}), queued before it"


def test_jobs_that_only_wait_for_a_worker_know_their_place(ask):
    first, second = (ask("test-start", f"server:{number}") for number in (1, 2))
    elsewhere = ask("test-start", "server:3", host="two")
    assert reason(first) == ""
    assert reason(second) == "Number 2 in the queue of host local"
    assert reason(elsewhere) == ""


def test_a_host_in_trouble_comes_before_everything_else(ask, monkeypatch):
    ask("test-start", "server:1")
    monkeypatch.setattr(queue_reasons, "_host_health", [lambda: {"local": "silent since noon"}])
    assert reason(ask("test-install", "game")) == "Waiting for host local: silent since noon"


def test_the_number_of_queries_does_not_depend_on_the_number_of_jobs(ask, django_assert_max_num_queries):
    for number in range(1, 21):
        ask("test-start", f"server:{number}")
        ask("test-install", "game", nonce=number)
    jobs = list(Job.objects.all())
    with django_assert_max_num_queries(3):
        queue_reasons.explain(jobs)


def test_jobs_that_are_not_queued_wait_for_nothing_and_leave_the_others_their_reasons(ask):
    start = ask("test-start", "server:1")
    transitions.claim(host="local", worker="w", limit=1, now=NOW, lease=LEASE)
    start.refresh_from_db()
    waiting = ask("test-install", "game")
    queue_reasons.explain([start, waiting])
    assert start.waiting_for == ""
    assert waiting.waiting_for == f"Waiting for “Start” (job {start.pk}), in progress"
