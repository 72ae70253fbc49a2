"""Actions on many servers: the plan, turns, results, cancelling, and game updates that are applied by themselves."""

from __future__ import annotations

from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from left4me.alerts.events import Event
from left4me.alerts.models import Delivery
from left4me.alerts.tests.factories import make_channel
from left4me.audit.models import AuditEntry
from left4me.core.redis import hosts
from left4me.core.web.refusals import Refused
from left4me.jobs.models import Job
from left4me.schedules import bulk, bulk_execution, game_updates
from left4me.schedules.models import BulkAction, Condition, Run
from left4me.testing.caller import Caller
from left4me.testing.cast import Cast
from livestate.models import Order
from livestate.tests.factories import make_snapshot
from servers.models import GameCheck, Host, Server, ServerShare, StateChange
from servers.tests.factories import make_blueprint, make_host, make_server, share

pytestmark = pytest.mark.django_db
OLD, NEW = "20300101T000000000000-100", "20300102T000000000000-200"
MINUTE = timedelta(minutes=1)
HTMX = {"HX-Request": "true"}


@pytest.fixture
def now() -> datetime:
    return timezone.now().replace(microsecond=0)


@pytest.fixture
def host(now: datetime, redis_client: object, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(hosts, "send", lambda *_, **__: True)
    versions = [
        {"id": version, "kind": "steam", "build": version[-3:], "installed_at": at.isoformat()}
        for version, at in ((OLD, now - timedelta(days=9)), (NEW, now - MINUTE))
    ]
    return make_host(last_seen_at=now + timedelta(days=9), game_version=NEW, facts={"versions": versions})


def running(cast: Cast, now: datetime, *, players: int = 0, **fields: Any) -> Server:
    states = {"desired_state": Server.Desired.RUNNING, "actual_state": Server.State.RUNNING, "game_version": OLD}
    owner = fields.pop("owner", cast.owner)
    server = make_server(owner, **{"started_at": now - timedelta(hours=1), **states, **fields})
    make_snapshot(server, now, players=players)
    return server


def plan(cast: Cast, now: datetime, **chosen: Any) -> list[tuple[str, str, str]]:
    given = {"action": "restart", "condition": Condition.ALWAYS, "only_changed": False, **chosen}
    servers = list(Server.objects.visible_to(cast.owner).with_blueprint().with_role(cast.owner))
    planned = bulk.plan(servers, by=cast.owner, now=now, **given)
    return [(each.server.name, str(each.verdict), each.text) for each in planned]


def begin(cast: Cast, servers: list[Server], **chosen: Any) -> BulkAction:
    target = bulk.Target(ids=[server.pk for server in servers])
    action = bulk.start(target=target, by=cast.owner, **{"action": "restart", **chosen})
    # The time of these tests stands still.
    action.runs.update(due_at=action.created_at - timedelta(hours=1))
    return action


def finish(server: Server, state: str = "succeeded", at: datetime | None = None, error: str = "") -> None:
    at = at or timezone.now()
    changes = {"state": state, "started_at": at, "finished_at": at, "error": error}
    Job.objects.live().filter(resource=server.resource).update(**changes)


def states(action: BulkAction) -> list[str]:
    return list(action.runs.order_by("position").values_list("state", flat=True))


def test_the_plan_says_what_happens_to_each_server_and_why_not(cast: Cast, host: Host, now: datetime):
    running(cast, now, name="empty")
    running(cast, now, name="played", players=3)
    make_server(cast.owner, name="stopped")
    viewed = running(cast, now, name="viewed", owner=cast.stranger)
    share(viewed, cast.owner)
    taken = running(cast, now, name="taken")
    begin(cast, [taken], condition=Condition.WAIT_SKIP)
    left_out = [
        ("stopped", "left out", "It is stopped."),
        ("taken", "left out", "It waits for its turn in another action on several servers."),
        ("viewed", "left out", "You can view this server but not operate it."),
    ]
    included = plan(cast, now)[: -len(left_out)]
    assert plan(cast, now)[-len(left_out) :] == left_out
    assert included[0] == ("empty", "acts", "")
    assert included[-1] == ("played", "acts", "3 players online.")
    waits = plan(cast, now, condition=Condition.WAIT_SKIP)
    assert ("played", "waits", "Waits until it is empty. 3 players online.") in waits
    assert ("empty", "left out", "It runs already.") in plan(cast, now, action="start")


def test_only_some_are_under_way_at_once_and_each_has_a_result(cast: Cast, host: Host, now: datetime):
    servers = [running(cast, now, name=name) for name in "abc"]
    action = begin(cast, servers, at_once=2)
    bulk_execution.advance_all(now)
    bulk_execution.advance_all(now)
    assert states(action) == ["started", "started", "waiting"]
    finish(servers[0], "failed", error="the port is taken")
    bulk_execution.advance_all(now)
    assert states(action) == ["started"] * 3
    finish(servers[1])
    finish(servers[2])
    bulk_execution.advance_all(now)
    action.refresh_from_db()
    assert action.state == BulkAction.State.DONE
    runs = bulk_execution.runs_of(action)
    assert list(bulk_execution.failures(action, runs).values()) == ["the port is taken"]
    assert Job.objects.count() == 3


def test_a_server_with_players_keeps_nobody_else_from_having_a_turn(cast: Cast, host: Host, now: datetime):
    played, empty = running(cast, now, players=1, name="played"), running(cast, now, name="empty")
    action = begin(cast, [played, empty], condition=Condition.WAIT_SKIP, at_once=1)
    bulk_execution.advance_all(now)
    finish(empty)
    bulk_execution.advance_all(now)
    assert dict(action.runs.values_list("server__name", "state")) == {"empty": "started", "played": "waiting"}
    make_snapshot(played, now + MINUTE, players=0)
    bulk_execution.advance_all(now + MINUTE)
    assert states(action) == ["started", "started"]


def test_cancelling_leaves_what_was_begun(cast: Cast, host: Host, now: datetime):
    servers = [running(cast, now, name=name) for name in "ab"]
    action = begin(cast, servers, at_once=1)
    bulk_execution.advance_all(now)
    bulk.cancel(bulk=action, by=cast.owner)
    bulk_execution.advance_all(now)
    assert states(action) == ["started", "cancelled"]
    with pytest.raises(Refused, match="has ended"):
        bulk.cancel(bulk=action, by=cast.owner)
    begin(cast, servers)
    assert AuditEntry.objects.filter(action__in=["bulk.start", "bulk.cancel"]).count() == 3


def test_rights_that_end_meanwhile_end_the_turn(cast: Cast, host: Host, now: datetime):
    server = running(cast, now, owner=cast.stranger)
    lent = share(server, cast.owner, ServerShare.Role.OPERATOR)
    action = begin(cast, [server])
    lent.delete()
    bulk_execution.advance_all(now)
    [run] = action.runs.all()
    assert (run.state, "can no longer operate" in run.reason) == (Run.State.SKIPPED, True)
    with pytest.raises(Refused, match="nothing to do"):
        begin(cast, [server])


def test_the_page_shows_the_plan_begins_it_and_follows_each_server(
    cast: Cast, host: Host, now: datetime, client: Client
):
    blueprint = make_blueprint(cast.owner, name="Versus")
    servers = [running(cast, now, name=name, blueprint=blueprint, players=2) for name in ("Friday", "Monday")]
    client.force_login(cast.owner)
    ids = {"server": [server.pk for server in servers], "operation": "plan"}
    address = client.post("/servers/actions", ids, headers=HTMX).headers["HX-Redirect"]
    assert client.post("/servers/actions", ids).headers["Location"] == address
    assert "2 players online" in client.get(address).content.decode()
    address = f"/bulk/new?blueprint={blueprint.pk}&which=all"
    page = client.get(address).content.decode()
    assert "Servers of “Versus”" in page and "4 players will be disconnected" in page
    assert "Waits until it is empty" in client.get(f"{address}&when=wait_skip").content.decode()
    given = {"blueprint": blueprint.pk, "which": "all", "action": "restart", "when": "always", "at_once": 1}
    response = client.post("/bulk/new", given)
    Run.objects.update(due_at=now)
    bulk_execution.advance_all(now)
    page = client.get(response["Location"]).content.decode()
    assert "0 of 2 done" in page and "Waits for its turn." in page
    finish(servers[0], "failed", error="It did not answer.")
    part = client.get(response["Location"], headers=HTMX).content.decode()
    assert "It did not answer." in part and "<html" not in part
    client.post(response["Location"] + "/cancel")
    assert "Cancelled" in client.get(response["Location"]).content.decode()
    assert "servers of “Versus”" in client.get("/schedules").content.decode()
    assert client.post("/bulk/new", {**given, "at_once": 0}).status_code == 422
    client.force_login(cast.stranger)
    assert client.get(address).status_code == 404


def test_the_api_plans_begins_lists_and_cancels(cast: Cast, host: Host, now: datetime, api: Caller):
    server = running(cast, now, name="Friday", players=1)
    given = {"servers": [server.pk], "action": "stop", "when_empty": True}
    status, told = api.by(cast.owner).post("/bulk/plan", given)
    assert (status, told["servers"][0]["verdict"], told["servers"][0]["players"]) == (200, "waits", 1)
    status, begun = api.by(cast.owner).post("/bulk", given)
    assert (status, begun["state"], begun["when_empty"], begun["user"]) == (201, "active", True, "anna")
    assert api.by(cast.owner).get("/bulk")[1]["count"] == 1
    assert api.by(cast.stranger).get("/bulk")[1]["count"] == 0
    _status, told = api.by(cast.owner).get(f"/bulk/{begun['id']}")
    assert [(run["server_id"], run["state"], run["failure"]) for run in told["runs"]] == [(server.pk, "waiting", "")]
    assert api.by(cast.owner).post(f"/bulk/{begun['id']}/cancel")[1]["state"] == "cancelled"
    assert api.by(cast.owner).post("/bulk", {**given, "host_id": host.pk})[0] == 409
    assert api.by(cast.owner).post("/bulk", {"action": "stop"})[0] == 409


def test_the_command_prints_the_plan_and_begins_it_only_when_told(cast: Cast, host: Host, now: datetime):
    running(cast, now, name="Friday")
    out = StringIO()
    call_command("bulk", "restart", "--host", host.name, "--as", cast.owner.get_username(), stdout=out)
    assert "Friday: acts." in out.getvalue() and not BulkAction.objects.exists()
    call_command("bulk", "restart", "--host", host.name, "--yes", stdout=out)
    assert BulkAction.objects.get().runs.count() == 1


def policy(host: Host, name: str, **fields: Any) -> None:
    Host.objects.filter(pk=host.pk).update(update_policy=name, **fields)


def known(host: Host, now: datetime, **fields: Any) -> GameCheck:
    given = {"newest_build": "200", "checked_at": now, "noticed_at": now, **fields}
    return GameCheck.objects.update_or_create(host=host, defaults=given)[0]


def test_an_update_is_installed_by_itself_only_where_the_policy_says_so(cast: Cast, host: Host, now: datetime):
    known(host, now, newest_build="300")
    game_updates.follow_policies(now)
    assert not Job.objects.exists()
    policy(host, "install")
    game_updates.follow_policies(now)
    game_updates.follow_policies(now)
    job = Job.objects.get()
    assert (job.operation, job.host, job.user) == ("install", host.name, None)
    Job.objects.update(state="failed", started_at=now, finished_at=now)
    game_updates.follow_policies(now + timedelta(hours=5))
    assert Job.objects.count() == 1
    game_updates.follow_policies(now + timedelta(hours=6))
    assert Job.objects.count() == 2
    # What a person cancelled is not begun again.
    later = now + timedelta(hours=7)
    Job.objects.live().update(state="cancelled", finished_at=later, created_at=later)
    game_updates.follow_policies(later + timedelta(days=2))
    assert Job.objects.count() == 2


def test_an_update_is_applied_when_empty_the_empty_first_a_few_at_once(cast: Cast, host: Host, now: datetime):
    make_channel(cast.admin)
    known(host, now)
    policy(host, "when_empty", update_at_once=1)
    played, empty = running(cast, now, name="a", players=2), running(cast, now, name="b")
    running(cast, now, name="c", game_version=NEW)
    game_updates.follow_policies(now)
    game_updates.follow_policies(now)
    action = BulkAction.objects.get()
    assert list(action.runs.order_by("position").values_list("server__name", flat=True)) == ["b", "a"]
    bulk_execution.advance_all(now)
    finish(empty, at=now)
    Server.objects.filter(pk=empty.pk).update(game_version=NEW)
    make_snapshot(played, now, players=0)
    # It is watched for a minute before the next one has its turn.
    bulk_execution.advance_all(now + timedelta(seconds=30))
    assert states(action) == ["started", "waiting"]
    make_snapshot(played, now + MINUTE, players=0)
    bulk_execution.advance_all(now + MINUTE)
    assert states(action) == ["started", "started"]
    finish(played, at=now + MINUTE)
    bulk_execution.advance_all(now + 3 * MINUTE)
    action.refresh_from_db()
    assert action.state == BulkAction.State.DONE
    assert list(Delivery.objects.values_list("event", flat=True)) == [Event.GAME_UPDATE_APPLIED]


@pytest.mark.parametrize("fails", ["at its start", "a moment later"])
def test_the_first_server_that_fails_stops_the_update_and_offers_the_way_back(
    cast: Cast, host: Host, now: datetime, client: Client, fails: str
):
    make_channel(cast.admin)
    known(host, now)
    policy(host, "when_empty", update_at_once=1)
    first, _second = running(cast, now, name="a"), running(cast, now, name="b")
    game_updates.follow_policies(now)
    bulk_execution.advance_all(now)
    if fails == "at its start":
        finish(first, "failed", at=now, error="The game ended with status 1.")
    else:
        finish(first, at=now)
        StateChange.objects.create(
            server=first, at=now + MINUTE / 2, state="crashed", detail="It ended with status 1."
        )
    bulk_execution.advance_all(now + MINUTE / 2)
    action = BulkAction.objects.get()
    assert (action.state, states(action)) == (BulkAction.State.STOPPED, ["started", "cancelled"])
    assert "“a” failed" in action.reason and "status 1" in action.reason
    assert list(Delivery.objects.values_list("event", flat=True)) == [Event.GAME_UPDATE_STOPPED]
    client.force_login(cast.admin)
    assert 'value="rollback_game"' in client.get(f"/bulk/{action.pk}").content.decode()
    game_updates.follow_policies(now + MINUTE)
    assert BulkAction.objects.count() == 1
    # After the roll-back, people decide what restarts.
    known(host, now, left_build="200")
    Host.objects.update(game_version=OLD)
    page = client.get(f"/bulk/{action.pk}").content.decode()
    assert 'value="rollback_game"' not in page and f"server={first.pk}" in page
    game_updates.follow_policies(now + MINUTE)
    assert BulkAction.objects.count() == 1


def test_an_update_at_a_set_time_warns_the_players_and_restarts_in_the_zone_of_the_host(
    cast: Cast, host: Host, now: datetime
):
    known(host, now)
    policy(host, "at_time", update_zone="Europe/Berlin")
    host.refresh_from_db()
    server = running(cast, now, players=3)
    due = game_updates.next_time(host, now)
    assert due.astimezone(game_updates.recurrence.ZoneInfo("Europe/Berlin")).strftime("%H:%M") == "05:00"
    assert timedelta() < due - now <= timedelta(days=1)
    game_updates.follow_policies(due - 11 * MINUTE)
    assert not BulkAction.objects.exists()
    for at in (due - 10 * MINUTE, due - 9 * MINUTE, due - 5 * MINUTE, due - MINUTE):
        make_snapshot(server, at, players=3)
        game_updates.follow_policies(at)
        bulk_execution.advance_all(at)
    said = list(Order.objects.order_by("pk").values_list("value", flat=True))
    assert said == [f"Server restarts in {n}." for n in ("10 minutes", "5 minutes", "1 minute")]
    assert not Job.objects.exists()
    bulk_execution.advance_all(due)
    assert Job.objects.get().operation == "restart"


def test_an_update_ends_when_another_version_is_made_current(cast: Cast, host: Host, now: datetime):
    known(host, now)
    policy(host, "when_empty")
    running(cast, now, players=1)
    game_updates.follow_policies(now)
    Host.objects.update(game_version=OLD)
    bulk_execution.advance_all(now)
    action = BulkAction.objects.get()
    assert (action.state, states(action)) == (BulkAction.State.CANCELLED, ["cancelled"])


def test_a_server_that_somebody_restarted_with_the_update_has_no_turn(cast: Cast, host: Host, now: datetime):
    known(host, now)
    policy(host, "when_empty")
    server = running(cast, now, players=1)
    game_updates.follow_policies(now)
    Server.objects.filter(pk=server.pk).update(game_version=NEW)
    bulk_execution.advance_all(now)
    assert states(BulkAction.objects.get()) == ["skipped"]
    assert not Job.objects.exists()


def test_a_server_that_gave_up_is_started_again(cast: Cast, host: Host, now: datetime):
    server = running(cast, now, actual_state=Server.State.GAVE_UP)
    action = begin(cast, [server], action="start")
    bulk_execution.advance_all(now)
    assert states(action) == ["started"]
    assert Job.objects.get().operation == "start"


def test_a_host_is_drained_one_server_after_the_other(cast: Cast, host: Host, now: datetime):
    """Both jobs of a move belong to the turn of its server."""
    spare = make_host(name="spare", last_seen_at=now + timedelta(days=9), game_version=NEW)
    first, second = running(cast, now, name="first"), running(cast, now, name="second")
    stopped = make_server(cast.stranger, host=host, name="stopped", actual_state="stopped")
    with pytest.raises(Refused, match="Choose the host"):
        bulk.start(target=bulk.Target(host=host), action="move", by=cast.admin)
    action = bulk.start(target=bulk.Target(host=host), action="move", by=cast.admin, to_host=spare, at_once=1)
    action.runs.update(due_at=action.created_at - timedelta(hours=1))
    bulk_execution.advance_all(now)
    (job,) = Job.objects.live()
    assert (job.operation, job.resource, job.host) == ("move", first.resource, host.name)
    Job.objects.filter(pk=job.pk).update(state="succeeded", started_at=now, finished_at=now)
    taken = Job.objects.create(
        operation="move", resource=first.resource, host="spare", params={"stage": "unpack", "to": "spare"}
    )
    bulk_execution.advance_all(now)
    assert list(Job.objects.live()) == [taken], "the new host has not taken it yet"
    Job.objects.filter(pk=taken.pk).update(state="failed", started_at=now, finished_at=now, error="The disk is full.")
    bulk_execution.advance_all(now)
    assert Job.objects.live().get().resource == second.resource
    finish(second)
    bulk_execution.advance_all(now)
    assert Job.objects.live().get().resource == stopped.resource
    finish(stopped)
    bulk_execution.advance_all(now)
    action.refresh_from_db()
    assert action.state == "done"
    runs = bulk_execution.runs_of(action)
    assert list(bulk_execution.failures(action, runs).values()) == ["The disk is full."]


def test_the_plan_of_a_move_says_which_servers_stay(cast: Cast, host: Host, now: datetime, client: Client):
    spare = make_host(name="spare", last_seen_at=now + timedelta(days=9), game_version=NEW)
    running(cast, now, name="goes")
    make_server(cast.owner, host=spare, name="there")
    assert plan(cast, now, action="move", to_host=spare) == [
        ("goes", "acts", ""),
        ("there", "left out", "The server is on this host already. Choose another one."),
    ]
    client.force_login(cast.admin)
    page = client.get("/bulk/new", {"host": host.pk, "action": "move", "at_once": 1}).content.decode()
    assert "Move to another host 1 server" in " ".join(page.split())
    answer = client.post("/bulk/new", {"host": host.pk, "action": "move", "at_once": 1, "to_host": spare.pk})
    assert answer.status_code == 302
    assert (BulkAction.objects.get().to_host, Run.objects.get().server.name) == (spare, "goes")


def test_a_move_is_begun_by_the_command_and_the_api(cast: Cast, host: Host, now: datetime):
    make_host(name="spare", last_seen_at=now + timedelta(days=9), game_version=NEW)
    server = running(cast, now, name="goes")
    told = StringIO()
    call_command("bulk", "move", "--host", host.name, "--to", "spare", stdout=told)
    assert "goes: acts." in told.getvalue() and "Nothing was done" in told.getvalue()
    api = Caller(cast.admin)
    given = {"host_id": host.pk, "action": "move", "to_host": "nowhere"}
    assert api.post("/bulk", given)[0] == 409
    status, begun = api.post("/bulk", given | {"to_host": "spare"})
    assert (status, begun["action"]) == (201, "move")
    assert Run.objects.get().server == server


def test_a_schedule_cannot_move_a_server(cast: Cast, host: Host):
    api = Caller(cast.owner)
    server = make_server(cast.owner, host=host)
    given = {"name": "x", "server_id": server.pk, "action": "move", "cron": "0 5 * * *"}
    assert api.post("/schedules", given)[0] == 422
