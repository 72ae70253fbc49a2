from __future__ import annotations

import pytest

from left4me.jobs import actions

pytestmark = pytest.mark.usefixtures("redis_client")


@pytest.fixture
def api(client, anna):
    """Call the API as anna."""
    client.force_login(anna)

    def call(method: str, path: str):
        return getattr(client, method)(f"/api/v1{path}")

    return call


@pytest.fixture
def job(ask, anna):
    return ask("test-start", "server:12", by=anna)


def test_a_job_has_the_fields_that_scripts_rely_on(api, job):
    answer = api("get", f"/jobs/{job.pk}").json()
    public = {"id", "operation", "resource", "state", "exit_code", "error", "created_at", "started_at", "finished_at"}
    assert public <= answer.keys()
    assert (answer["id"], answer["state"], answer["resource"]) == (job.pk, "queued", "server:12")
    assert answer["asked_by"] == "anna"


def test_the_list_is_ones_own_newest_first_and_narrowed(api, ask, anna, stan):
    first, second = ask("test-start", by=anna), ask("test-install", "game", by=anna)
    ask("test-start", "server:3", by=stan)
    answer = api("get", "/jobs").json()
    assert ([item["id"] for item in answer["items"]], answer["count"]) == ([second.pk, first.pk], 2)
    assert api("get", "/jobs?operation=test-install&limit=1").json()["count"] == 1
    assert api("get", "/jobs?whose=all").json()["count"] == 2
    assert api("get", "/jobs?state=nonsense").status_code == 422


def test_the_log_is_read_from_a_number_on(api, job):
    actions.cancel(job=job, by=None)
    answer = api("get", f"/jobs/{job.pk}/log?after=1").json()
    assert [(line["seq"], line["stream"], line["line"]) for line in answer["items"]] == [
        (2, "event", "Cancelled by the system.")
    ]
    assert answer["count"] == 2


def test_cancel_and_retry_answer_202_with_the_job_and_409_with_the_reason(api, job):
    assert api("post", f"/jobs/{job.pk}/retry").status_code == 409
    cancelled = api("post", f"/jobs/{job.pk}/cancel")
    assert (cancelled.status_code, cancelled.json()["state"]) == (202, "cancelled")
    refused = api("post", f"/jobs/{job.pk}/cancel")
    assert (refused.status_code, refused.json()["detail"]) == (409, "This job has already finished.")
    again = api("post", f"/jobs/{job.pk}/retry")
    assert (again.status_code, again.json()["state"]) == (202, "queued")
    assert again.json()["id"] != job.pk


@pytest.mark.parametrize(("method", "path"), [("get", ""), ("get", "/log"), ("post", "/cancel"), ("post", "/retry")])
def test_what_is_not_ones_own_is_not_there(api, ask, stan, method, path):
    job = ask("test-start", by=stan)
    for number in (job.pk, 10**18, 10**30):
        assert api(method, f"/jobs/{number}{path}").status_code == 404
