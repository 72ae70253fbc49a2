"""The advisories of Pelican, tried here. `docs/advisories.md` says what each of them was there."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.test import Client

from accounts.models import ApiToken
from accounts.tests.factories import bearer, make_token
from left4me.jobs.models import Job
from left4me.schedules.models import Run
from left4me.testing.caller import Caller
from left4me.testing.cast import Cast
from left4me.tests import limits
from left4me.tests.limits import LIMITS, OnRows
from servers.models import ServerShare
from servers.tests.factories import make_server, share

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_client")]


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.name)
def test_ghsa_43h8_3896_wqv5_a_token_that_reads_adds_nothing(cast: Cast, data: Path, limit: OnRows) -> None:
    place = limits.furnish(cast.owner)
    before = limit.count()
    tokens = {scope: make_token(cast.owner, scope=scope) for scope in ("read", "admin")}
    added = before + (len(tokens) if limit.model is ApiToken else 0)
    reads = limit.ask(Client(headers=bearer(tokens["read"])), place, 1)
    assert (reads.status_code in (302, 403), limit.count()) == (True, added)
    may = limit.ask(Client(headers=bearer(tokens["admin"])), place, 2)
    # What is no part of the API leads to the login page.
    assert (may.status_code, limit.count()) in ((201, added + 1), (302, added))


def test_ghsa_4wxv_r46p_w2f9_an_action_on_many_servers_asks_for_the_right_to_each(cast: Cast, api: Caller) -> None:
    operated, viewed, hidden = (make_server(cast.owner, name=name) for name in ("Friday", "Monday", "Sunday"))
    share(operated, cast.operator, ServerShare.Role.OPERATOR)
    share(viewed, cast.operator)
    ids = [operated.pk, viewed.pk, hidden.pk]
    status, outcomes = api.by(cast.operator).post("/servers/actions", {"operation": "stop", "server_ids": ids})
    assert status == 200
    assert [bool(outcome["job"]) for outcome in outcomes] == [True, False]
    client = Client()
    client.force_login(cast.operator)
    client.post("/servers/actions", {"operation": "restart", "server": ids})
    assert {job.resource for job in Job.objects.all()} == {operated.resource}


def test_ghsa_4wxv_r46p_w2f9_a_rolling_restart_leaves_those_of_others(cast: Cast, api: Caller) -> None:
    servers = [make_server(cast.owner, desired_state="running", actual_state="running") for _ in range(2)]
    share(servers[0], cast.viewer)
    plan = {"servers": [server.pk for server in servers], "action": "restart"}
    for user in (cast.viewer, cast.stranger):
        status, _ = api.by(user).post("/bulk", plan)
        assert status in (404, 409)
        assert not Run.objects.exists()
    assert api.by(cast.owner).post("/bulk", plan)[0] == 201
