"""Jobs on servers: rights on the server decide about them, and not who requested them."""

from __future__ import annotations

import pytest
from django.test import Client

from accounts import actions as accounts
from accounts.tests.factories import bearer, make_token
from left4me.jobs import actions as jobs
from left4me.jobs import failure_alerts, permissions, queue_reasons, streams
from left4me.jobs.models import Job
from left4me.testing.caller import Caller
from left4me.testing.cast import Cast
from servers import actions
from servers.actions import sharing
from servers.models import Server, ServerShare
from servers.tests.factories import make_server, share


@pytest.fixture
def server(cast: Cast) -> Server:
    return make_server(cast.owner, name="Friday")


@pytest.fixture
def stopped(server: Server, cast: Cast) -> Job:
    """A cancelled job that the operator requested while the server was shared, which it is no longer."""
    lent = share(server, cast.operator, ServerShare.Role.OPERATOR)
    job = actions.request(server=server, operation="stop", by=cast.operator)
    jobs.cancel(job=job, by=cast.owner)
    sharing.revoke(share=lent, by=cast.owner)
    return Job.objects.get(pk=job.pk)


@pytest.mark.parametrize("change", ["cancel", "retry"])
def test_a_former_operator_does_not_touch_the_jobs_they_requested(
    stopped: Job, cast: Cast, api: Caller, client: Client, change: str
) -> None:
    assert api.by(cast.operator).post(f"/jobs/{stopped.pk}/{change}")[0] == 404
    client.force_login(cast.operator)
    assert client.post(f"/jobs/{stopped.pk}/{change}").status_code == 404
    assert not Job.objects.exclude(pk=stopped.pk).exists()
    assert api.by(cast.owner).post(f"/jobs/{stopped.pk}/retry")[0] == 202


def test_a_former_operator_is_shown_nothing_of_them(stopped: Job, cast: Cast, api: Caller, client: Client) -> None:
    former = api.by(cast.operator)
    for path in (f"/jobs/{stopped.pk}", f"/jobs/{stopped.pk}/log"):
        assert former.get(path)[0] == 404
    assert former.get("/jobs")[1]["items"] == []
    assert streams.open_stream(cast.operator, str(stopped.pk)) is None
    assert permissions.audience([stopped.pk]) == {stopped.pk: {cast.owner.pk}}
    client.force_login(cast.operator)
    for path in ("/jobs", "/", "/bell", "/palette?q=friday", f"/palette?q=%23{stopped.pk}"):
        assert "Friday" not in client.get(path).content.decode(), path
    assert [job["id"] for job in api.by(cast.owner).get(f"/jobs?resource={stopped.resource}")[1]["items"]] == [
        stopped.pk
    ]


def test_a_failure_is_told_to_those_who_may_see_it(server: Server, cast: Cast) -> None:
    lent = share(server, cast.operator, ServerShare.Role.OPERATOR)
    job = actions.request(server=server, operation="stop", by=cast.operator)
    assert set(failure_alerts._failure(job).owners) == {cast.owner.pk, cast.operator.pk}
    sharing.revoke(share=lent, by=cast.owner)
    assert set(failure_alerts._failure(Job.objects.get(pk=job.pk)).owners) == {cast.owner.pk}


def test_a_job_that_waits_does_not_name_what_its_user_does_not_see(
    server: Server, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_reasons, "_host_health", [])
    lent = share(server, cast.operator, ServerShare.Role.OPERATOR)
    actions.request(server=server, operation="stop", by=cast.operator)
    second = jobs.request(operation="put_back", resource=server.resource, by=cast.owner, host=server.host.name)

    def reasons() -> str:
        queue_reasons.explain([second], user=cast.operator)
        return str(second.waiting_for)

    assert "Friday" in reasons()
    sharing.revoke(share=lent, by=cast.owner)
    assert "Friday" not in reasons()


def test_the_job_that_deletes_a_server_is_still_shown_to_its_owner(server: Server, cast: Cast, api: Caller) -> None:
    job = actions.request(server=server, operation="delete", by=cast.owner)
    server.delete()
    assert api.by(cast.owner).get(f"/jobs/{job.pk}")[0] == 200
    assert api.by(cast.operator).get(f"/jobs/{job.pk}")[0] == 404


def test_a_former_admin_does_not_retry_what_only_admins_do(cast: Cast, api: Caller) -> None:
    job = jobs.request(operation="install", resource="game", by=cast.admin, host="local")
    jobs.cancel(job=job, by=cast.admin)
    accounts.set_admin(user=cast.owner, is_admin=True, by=None)
    accounts.set_admin(user=cast.admin, is_admin=False, by=cast.owner)
    assert api.by(cast.admin).post(f"/jobs/{job.pk}/retry")[0] == 404
    assert api.by(cast.owner).post(f"/jobs/{job.pk}/retry")[0] == 202


@pytest.mark.usefixtures("redis_client")
@pytest.mark.parametrize("scope", ["read", "operate", "admin"])
def test_a_token_below_the_scope_admin_does_not_retry_what_its_admin_did_as_one(
    server: Server, cast: Cast, scope: str, client: Client
) -> None:
    job = actions.request(server=server, operation="stop", by=cast.admin)
    jobs.cancel(job=job, by=cast.admin)
    answer = client.post(f"/api/v1/jobs/{job.pk}/retry", headers=bearer(make_token(cast.admin, scope=scope)))
    assert answer.status_code == {"read": 403, "operate": 404, "admin": 202}[scope]


@pytest.mark.parametrize("operation", ["delete", "restore", "back_up", "put_back"])
def test_an_operator_does_not_retry_what_only_the_owner_may_request(
    server: Server, cast: Cast, api: Caller, operation: str
) -> None:
    share(server, cast.operator, ServerShare.Role.OPERATOR)
    job = jobs.request(operation=operation, resource=server.resource, by=cast.owner, host=server.host.name)
    assert api.by(cast.operator).post(f"/jobs/{job.pk}/cancel")[0] == 404
    jobs.cancel(job=job, by=cast.owner)
    assert api.by(cast.operator).post(f"/jobs/{job.pk}/retry")[0] == 404
    assert api.by(cast.operator).get(f"/jobs/{job.pk}")[0] == 200
    assert api.by(cast.owner).post(f"/jobs/{job.pk}/retry")[0] == 202
