"""A live match is interrupted by nothing that does not name it."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from django.test import Client
from django.utils import timezone

from left4me.core.web.refusals import Refused
from left4me.jobs import actions as jobs
from left4me.jobs.models import Job
from livestate import actions as orders
from livestate.matches.models import Match
from livestate.matches.tests.factories import make_match
from livestate.models import Order
from servers import actions
from servers.actions import moves
from servers.models import Server
from servers.tests.factories import make_host, make_server


@pytest.fixture
def server(cast) -> Server:
    running = Server.State.RUNNING
    return make_server(cast.owner, name="Friday", actual_state=running, desired_state=Server.Desired.RUNNING)


@pytest.fixture
def match(server) -> Match:
    return make_match(server, started_at=timezone.now())


def failed_job(server: Server, operation: str) -> Job:
    now = timezone.now()
    return Job.objects.create(
        operation=operation,
        resource=server.resource,
        host=server.host.name,
        state=Job.State.FAILED,
        created_at=now,
        finished_at=now,
    )


@pytest.mark.parametrize("operation", ["stop", "restart", "kill", "delete"])
def test_operations_name_the_match_before_they_interrupt_it(cast, server, match, operation):
    with pytest.raises(Refused, match=r"Arena 1\.0") as refusal:
        actions.request(server=server, operation=operation, by=cast.owner)
    with pytest.raises(Refused):
        actions.request(server=server, operation=operation, by=cast.owner, interrupting="match:0")
    assert not Job.objects.exists()
    cure = refusal.value.cure
    assert cure is not None and cure.operation == operation
    assert actions.request(server=server, operation=operation, by=cast.owner, interrupting=match.resource)


@pytest.mark.parametrize("operation", ["stop", "restart", "kill", "delete", "move"])
def test_a_job_that_failed_before_the_match_is_not_retried_during_it(cast, server, match, operation):
    job = failed_job(server, operation)
    with pytest.raises(Refused, match=r"Arena 1\.0"):
        jobs.retry(job=job, by=cast.owner)
    assert list(Job.objects.all()) == [job]
    assert jobs.retry(job=failed_job(server, "back_up"), by=cast.owner).operation == "back_up"


def test_the_button_of_the_refusal_interrupts(cast, server, match):
    client = Client()
    client.force_login(cast.owner)
    page = client.post(f"/servers/{server.pk}/actions", {"operation": "restart"}, follow=True).content.decode()
    address = f"/servers/{server.pk}/actions?interrupt=match%3A{match.pk}"
    assert "Interrupt the match" in page and address in page
    client.post(address, {"operation": "restart"})
    assert Job.objects.get().operation == "restart"


def test_the_api_interrupts_only_what_is_named(api, cast, server, match):
    call = api.by(cast.owner)
    status, problem = call.post(f"/servers/{server.pk}/actions", {"operation": "stop"})
    assert status == 409 and "Arena 1.0" in problem["detail"]
    body = {"operation": "stop", "interrupt": match.resource}
    assert call.post(f"/servers/{server.pk}/actions", body)[0] == 202


@pytest.mark.parametrize("state", ["waiting", "ended"])
def test_a_match_that_is_not_live_holds_up_nothing(cast, server, state):
    make_match(server, state=state)
    assert actions.request(server=server, operation="restart", by=cast.owner)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("map", "c2m1_highway"),
        ("mode", "coop"),
        ("command", "sm_resetmatch"),
        ("command", 'say hi; "changelevel" c1m1_hotel'),
        ("command", "sm plugins unload readyup"),
        ("unload_plugin", "optional/readyup.smx"),
    ],
)
def test_orders_that_change_map_rules_or_plugins_name_it(cast, server, match, kind, value):
    with pytest.raises(Refused, match=r"Arena 1\.0"):
        orders.give_order(server=server, by=cast.owner, kind=kind, value=value)
    assert orders.give_order(server=server, by=cast.owner, kind=kind, value=value, interrupting=match.resource)


@pytest.mark.parametrize(
    ("kind", "value"), [("say", "map break"), ("command", "status"), ("command", "sm plugins list")]
)
def test_other_orders_go_on(cast, server, match, kind, value):
    assert orders.give_order(server=server, by=cast.owner, kind=kind, value=value)


def test_the_button_of_a_refused_order_gives_it(cast, server, match):
    with pytest.raises(Refused) as refusal:
        orders.give_order(server=server, by=cast.owner, kind="map", value="c2m1_highway")
    assert refusal.value.cure is not None
    client = Client()
    client.force_login(cast.owner)
    client.post(refusal.value.cure.url, {"operation": refusal.value.cure.operation})
    assert Order.objects.get().value == "c2m1_highway"


def test_a_move_names_it(cast, server, match):
    now = timezone.now()
    Server.objects.filter(pk=server.pk).update(host=make_host(name="here", last_seen_at=now, game_version="1"))
    other = make_host(name="there", last_seen_at=now, game_version="1")
    with pytest.raises(Refused, match=r"Arena 1\.0") as refusal:
        moves.request_move(server=server, target=other, by=cast.owner)
    assert refusal.value.cure is not None
    assert f"host={other.pk}" in urlsplit(refusal.value.cure.url).query


def test_an_operation_on_many_servers_refuses_those_with_a_live_match(cast, server, match):
    (outcome,) = actions.request_on_many(ids=[server.pk], operation="stop", by=cast.owner)
    assert outcome.job is None and "Arena 1.0" in outcome.refusal


def test_the_page_of_the_server_shows_that_a_match_is_live(cast, server, match):
    client = Client()
    client.force_login(cast.owner)
    assert match.get_absolute_url() in client.get(server.get_absolute_url()).content.decode()
