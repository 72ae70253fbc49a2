"""What needs attention: the rules, and that pages, the filter and the API agree about them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from left4me.core.statements import select_for
from left4me.jobs.models import Job
from left4me.testing.caller import Caller
from left4me.testing.cast import Cast
from overlays import attention as overlay_attention
from overlays.models import Overlay, OverlayAddon, OverlayWorkshopItem
from overlays.tests.factories import make_overlay
from servers import overview
from servers.models import Host, Server, ServerShare, StateChange
from servers.state import attention, criteria, layer_faults
from servers.state.criteria import Criteria
from servers.tests.factories import make_blueprint, make_host, make_server, share
from workshop.models import WorkshopItem

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def host(db: None) -> Host:
    return make_host(last_seen_at=timezone.now(), game_version="2", facts={"disk": {"free": 10**12, "total": 10**12}})


def _make(owner, *, crashed_ago: timedelta | None = None, busy: bool = False, **fields) -> Server:
    server = make_server(owner, **fields)
    if crashed_ago is not None:
        StateChange.objects.create(
            server=server, at=timezone.now() - crashed_ago, state="crashed", detail="It ended with signal 11."
        )
    if busy:
        Job.objects.create(operation="start", resource=server.resource, host="local")
    return server


def _failed_item(owner) -> Overlay:
    overlay = make_overlay(kind=Overlay.Kind.WORKSHOP, owner=owner)
    item = WorkshopItem.objects.create(steam_id=Overlay.objects.count(), last_error="download failed: no answer")
    OverlayWorkshopItem.objects.create(overlay=overlay, item=item)
    return overlay


def _failed_build(owner) -> Overlay:
    overlay = make_overlay(owner=owner)
    Job.objects.create(
        operation="build",
        resource=overlay.resource,
        host="local",
        state="failed",
        error="disk full",
        finished_at=timezone.now(),
    )
    return overlay


def _with(layer: Callable[[object], Overlay]) -> Callable[[object], Server]:
    return lambda owner: make_server(owner, blueprint=make_blueprint(owner, overlays=[layer(owner)]))


WANTED = {"desired_state": "running"}
RUNS = {**WANTED, "actual_state": "running"}
HOUR = timedelta(hours=1)

CASES: dict[str, tuple[Callable[[object], Server], list[str]]] = {
    "never started": (lambda owner: _make(owner), []),
    "runs": (lambda owner: _make(owner, **RUNS, game_version="2"), []),
    "failed start": (
        lambda owner: _make(owner, **WANTED, actual_state="stopped", last_error="The port is taken."),
        ["failed"],
    ),
    "failed start, started again": (
        lambda owner: _make(owner, busy=True, **WANTED, actual_state="stopped", last_error="The port is taken."),
        [],
    ),
    "keeps crashing": (lambda owner: _make(owner, **WANTED, actual_state="gave_up"), ["gave_up"]),
    "crashed now": (lambda owner: _make(owner, **WANTED, actual_state="crashed"), ["crashed"]),
    "crashed and runs again": (
        lambda owner: _make(owner, crashed_ago=HOUR * 0.9, **RUNS),
        ["crashed_recently"],
    ),
    "crashed long ago": (lambda owner: _make(owner, crashed_ago=HOUR * 1.1, **RUNS), []),
    "crashed and was stopped": (lambda owner: _make(owner, crashed_ago=HOUR * 0.1, actual_state="stopped"), []),
    "hangs": (lambda owner: _make(owner, **RUNS, hung_since=timezone.now()), ["unresponsive"]),
    "should run": (lambda owner: _make(owner, **WANTED, actual_state="stopped"), ["drift"]),
    "should be stopped": (lambda owner: _make(owner, desired_state="stopped", actual_state="running"), ["drift"]),
    "has old files of the game": (lambda owner: _make(owner, outdated_files=2), ["outdated_files"]),
    "runs an old game": (lambda owner: _make(owner, **RUNS, game_version="1"), ["game_update"]),
    "failed item in a layer": (_with(_failed_item), ["layer_content"]),
    "failed build of a layer": (_with(_failed_build), ["layer_build"]),
    "program in a layer": (
        _with(lambda owner: make_overlay(owner=owner, programs={"left4dead2/bin/server.so": "0" * 64})),
        ["layer_programs"],
    ),
    "host offline": (
        lambda owner: _make(owner, **RUNS, host=make_host(name="two", last_seen_at=timezone.now() - HOUR)),
        ["host_offline"],
    ),
}


@pytest.fixture
def servers(cast: Cast) -> dict[str, Server]:
    return {case: make(cast.owner) for case, (make, _kinds) in CASES.items()}


def test_each_trouble_is_one_reason_and_the_filter_finds_what_has_reasons(
    cast: Cast, servers: dict[str, Server], client: Client
) -> None:
    client.force_login(cast.owner)
    shown = {each.server.pk: each for each in client.get("/servers").context["statuses"]}
    found = {case: [reason.kind for reason in shown[server.pk].attention] for case, server in servers.items()}
    assert found == {case: kinds for case, (_make_server, kinds) in CASES.items()}
    filtered = {each.server.pk for each in client.get("/servers?attention=1").context["statuses"]}
    assert filtered == {servers[case].pk for case, kinds in found.items() if kinds}


def test_dashboard_list_and_api_count_the_same(cast: Cast, servers: dict[str, Server], client: Client) -> None:
    client.force_login(cast.owner)
    troubled = sum(bool(kinds) for _make_server, kinds in CASES.values())
    assert client.get("/").context["overview"].needing_attention == troubled
    assert len(client.get("/servers?attention=1").context["statuses"]) == troubled
    api = Caller(cast.owner)
    assert api.get("/servers?attention=true")[1]["count"] == troubled
    listed = api.get("/attention?limit=500")[1]
    assert (listed["count"], {each["kind"] for each in listed["items"]}) == (troubled, {"server"})
    severities = [each["severity"] for each in listed["items"]]
    assert severities == sorted(severities, key=["bad", "warn", "note"].index)


def test_the_dashboard_names_a_failed_start_with_its_cure(cast: Cast, client: Client) -> None:
    server = make_server(
        cast.owner, name="Friday", **WANTED, actual_state="stopped", last_error="Taken", offered_port=1
    )
    client.force_login(cast.owner)
    page = client.get("/").content.decode()
    assert "Start failed" in page and "Taken" in page and "Use port 1 and start" in page
    assert f'action="/servers/{server.pk}/port"' in page
    Server.objects.update(offered_port=None)
    assert client.post(f"/servers/{server.pk}/actions", {"operation": "start"}).status_code == 302
    assert client.get("/").context["overview"].needing_attention == 0


def test_the_dashboard_folds_what_goes_beyond_the_worst_eight(cast: Cast, client: Client) -> None:
    for number in range(10):
        make_server(cast.owner, name=f"Server {number}", **WANTED, actual_state="stopped", last_error="Taken")
    client.force_login(cast.owner)
    before, _, folded = (
        client.get("/").content.decode().partition('<details class="disclosure pad" id="more-attention">')
    )
    assert before.count("Start failed</span>") == 8
    assert "Show 2 more" in folded


def test_who_only_looks_gets_no_button_and_learns_nothing_of_private_layers(cast: Cast, client: Client) -> None:
    blueprint = make_blueprint(cast.owner, overlays=[_failed_item(cast.owner)])
    server = make_server(cast.owner, blueprint=blueprint, **WANTED, actual_state="stopped", last_error="Taken")
    share(server, cast.viewer)
    share(server, cast.operator, ServerShare.Role.OPERATOR)
    seen = {who: overview.needing_attention(getattr(cast, who), now=timezone.now()) for who in ("viewer", "operator")}
    (of_viewer,), (of_operator,) = (subjects[0].reasons for subjects in seen.values())
    assert (of_viewer.kind, of_viewer.cure) == ("failed", None)
    assert of_operator.cure is not None and of_operator.cure.operation == "start"
    client.force_login(cast.stranger)
    assert client.get("/").context["overview"].needing_attention == 0


def test_an_overlay_that_no_server_uses_is_listed_itself(cast: Cast, client: Client) -> None:
    overlay = _failed_build(cast.owner)
    OverlayAddon.objects.create(overlay=overlay, path="left4dead2/addons/a.vpk", is_valid=False, reason="no files")
    (subject,) = overview.needing_attention(cast.owner, now=timezone.now())
    assert (subject.kind, subject.name) == ("overlay", overlay.name)
    assert [reason.kind for reason in subject.reasons] == ["build", "content"]
    assert subject.reasons[0].cure is not None
    client.force_login(cast.owner)
    client.post(subject.reasons[0].cure.url, {"operation": "build"})
    assert Job.objects.live().get().operation == "build"
    assert [reason.kind for reason in overview.needing_attention(cast.owner, now=timezone.now())[0].reasons] == [
        "content"
    ], "a build that is under way may mend it"
    assert not overview.needing_attention(cast.stranger, now=timezone.now())


def test_hosts_are_the_matter_of_admins(cast: Cast, host: Host, settings) -> None:
    settings.LEFT4ME_DISK_LOW_GB = 5
    Host.objects.update(facts={"disk": {"free": 4 * 10**9, "total": 10**12}, "refusal": "the schema differs"})
    make_host(name="two", last_seen_at=None)
    kinds = {
        each.name: [reason.kind for reason in each.reasons]
        for each in overview.needing_attention(cast.admin, now=timezone.now())
    }
    assert kinds == {"local": ["refuses", "disk_low"], "two": ["host_offline"]}
    assert not overview.needing_attention(cast.owner, now=timezone.now())


def test_the_number_of_queries_does_not_depend_on_the_number_of_servers(cast: Cast) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as captured:
            overview.needing_attention(cast.owner, now=timezone.now())
        return len(captured)

    for make, _kinds in CASES.values():
        make(cast.owner)
    few = count()
    for make, _kinds in list(CASES.values()) * 3:
        make(cast.owner)
    assert count() == few


def test_overlays_that_are_well_cost_one_query(cast: Cast, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    servers = [
        make_server(cast.owner, blueprint=make_blueprint(cast.owner, overlays=[make_overlay(owner=cast.owner)]))
        for _ in range(3)
    ]
    with django_assert_num_queries(1):
        assert layer_faults.of(servers, cast.owner) == ({}, {})


def test_a_failed_build_counts_until_a_newer_one_has_an_outcome(cast: Cast) -> None:
    overlay = _failed_build(cast.owner)

    def build(state: Job.State) -> None:
        at = timezone.now()
        Job.objects.create(operation="build", resource=overlay.resource, host="local", state=state, finished_at=at)

    assert overlay_attention.faulty() == [overlay.pk]
    build(Job.State.CANCELLED)
    assert overlay_attention.faulty() == [overlay.pk]
    build(Job.State.SUCCEEDED)
    assert overlay_attention.faulty() == []


def test_the_rules_of_rows_and_of_the_database_are_one(cast: Cast, servers: dict[str, Server]) -> None:
    for user in (cast.owner, cast.admin, cast.stranger):
        visible = Server.objects.visible_to(user)
        now = timezone.now()
        present = Criteria.of(now)
        filtered = set(criteria.filter_servers(visible, present, user=user).values_list("pk", flat=True))
        rows = list(visible.listed().with_role(user))
        busy = set(Job.objects.live().values_list("resource", flat=True))
        reasons = attention.of_servers(rows, busy=busy, user=user, now=now)
        assert filtered == {pk for pk, found in reasons.items() if found}
        assert filtered == set(_needing.rows(user, **vars(present))), "the same in a statement"


_needing = select_for(
    lambda visitor: criteria.filter_servers(
        Server.objects.visible_to(visitor), criteria.GIVEN, user=visitor
    ).values_list("pk", flat=True)
)
