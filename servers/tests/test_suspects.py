"""What changed since a server last ran well: which runs go well, and what is listed between two of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from left4me.audit import record, sentences
from left4me.testing.caller import Caller
from left4me.testing.cast import Cast
from overlays import paths
from overlays.models import OverlayWorkshopItem
from overlays.tests.factories import make_overlay
from servers import actions
from servers.lifecycle import launch_plan, suspects
from servers.models import GameRun, Server, StateChange
from servers.state import good_runs, state_log
from servers.tests.factories import make_blueprint, make_host, make_server
from workshop.models import WorkshopItem

pytestmark = pytest.mark.django_db

NICK = "76561197960287930"
State = Server.State
BEGIN = datetime(2030, 1, 1, 20, tzinfo=UTC)


@pytest.fixture
def server(cast: Cast, settings, tmp_path: Path) -> Server:
    """A server with a config overlay of Anna's and two workshop items."""
    settings.LEFT4ME_ROOT = tmp_path
    host = make_host(game_version="20300101T000000-100")
    maps = make_overlay(name="Maps", kind="workshop", owner=cast.owner)
    for steam_id, title in ((7, "Dead Before Dawn"), (8, "")):
        item = WorkshopItem.objects.create(steam_id=steam_id, title=title)
        OverlayWorkshopItem.objects.create(overlay=maps, item=item, linked_version=int(BEGIN.timestamp()))
    layers = [make_overlay(name="Our config", owner=cast.owner), maps]
    blueprint = make_blueprint(cast.owner, name="Versus", overlays=layers, config="sv_alltalk 0")
    return make_server(cast.owner, name="Friday", host=host, blueprint=blueprint)


def fresh(server: Server) -> Server:
    return Server.objects.with_blueprint().get(pk=server.pk)


def start(server: Server, at: datetime) -> None:
    """What a start records, until RCON answers."""
    server = fresh(server)
    layers = server.blueprint.layers
    places = launch_plan.HostPaths(
        game=Path("/srv/game"),
        overlays={layer.pk: paths.directory(layer) for layer in layers},
        cache=Path("/srv/cache"),
    )
    plan = launch_plan.compose(server, layers=layers, places=places, game_version=server.host.game_version)
    with time_machine.travel(at, tick=False):
        launch_plan.record_start(server, plan, now=at)
        state_log.record_state(server, State.RUNNING, now=at)


def see(server: Server, state: Server.State, at: datetime) -> None:
    state_log.record_state(fresh(server), state, now=at)


def run_well(server: Server, at: datetime) -> None:
    start(server, at)
    see(server, State.STOPPING, at + timedelta(hours=3))
    see(server, State.STOPPED, at + timedelta(hours=3))


def crash(server: Server, at: datetime) -> None:
    start(server, at)
    see(server, State.CRASHED, at + timedelta(minutes=1))


def found(server: Server, cast: Cast) -> suspects.Suspects:
    return suspects.of(fresh(server), user=cast.owner, now=BEGIN + timedelta(days=2))


def changes(server: Server, cast: Cast) -> list[tuple[str, str, str]]:
    return [(change.area, change.before, change.after) for change in found(server, cast).changes]


# --- runs ---


def test_a_run_that_is_ended_after_a_while_went_well(server: Server) -> None:
    run_well(server, BEGIN)
    good = good_runs.last_good(server)
    assert good is not None
    assert (good.started_at, good.ended_well_at) == (BEGIN, BEGIN + timedelta(hours=3))


def test_a_run_that_ended_with_its_machine_went_well(server: Server) -> None:
    start(server, BEGIN)
    see(server, State.STOPPED, BEGIN + timedelta(hours=1))
    assert good_runs.last_good(server) is not None


@pytest.mark.parametrize(
    "end",
    [
        lambda server: see(server, State.STOPPING, BEGIN + timedelta(minutes=9)),
        lambda server: see(server, State.CRASHED, BEGIN + timedelta(hours=1)),
        lambda server: see(server, State.GAVE_UP, BEGIN + timedelta(hours=1)),
        lambda server: see(server, State.UNKNOWN, BEGIN + timedelta(hours=1)),
    ],
    ids=["stopped at once", "crashed", "gave up", "unknown"],
)
def test_no_other_run_went_well(server: Server, end) -> None:
    start(server, BEGIN)
    end(server)
    see(server, State.STOPPED, BEGIN + timedelta(hours=2))
    assert good_runs.last_good(server) is None


def test_a_run_with_a_crash_or_a_hang_in_it_did_not_go_well(server: Server) -> None:
    start(server, BEGIN)
    StateChange.objects.create(server=server, at=BEGIN + timedelta(minutes=5), state=State.CRASHED)
    see(server, State.STOPPING, BEGIN + timedelta(hours=1))
    assert good_runs.last_good(server) is None
    start(server, BEGIN + timedelta(hours=2))
    Server.objects.update(hung_since=BEGIN + timedelta(hours=3))
    see(server, State.STOPPING, BEGIN + timedelta(hours=4))
    assert good_runs.last_good(server) is None


def test_only_the_newest_run_and_the_last_good_one_are_kept(server: Server) -> None:
    run_well(server, BEGIN)
    run_well(server, BEGIN + timedelta(hours=4))
    crash(server, BEGIN + timedelta(hours=8))
    crash(server, BEGIN + timedelta(hours=9))
    assert list(GameRun.objects.values_list("started_at", flat=True)) == [
        BEGIN + timedelta(hours=9),
        BEGIN + timedelta(hours=4),
    ]


# --- suspects ---


def test_everything_that_changed_between_the_two_starts_is_listed(cast: Cast, server: Server) -> None:
    run_well(server, BEGIN)
    later = BEGIN + timedelta(days=1)
    with time_machine.travel(later, tick=False):
        actions.update_blueprint(
            blueprint=server.blueprint, seen_version=1, by=cast.owner, config="sv_alltalk 1", arguments="-tickrate 60"
        )
        actions.set_person(of=server, person=NICK, name="Nick", by=cast.owner)
        config, maps = server.blueprint.layers
        config.record_change(now=later)
        record.write(action="overlay.files_changed", by=cast.owner, target=config.resource, path="cfg/server.cfg")
        record.write(action="overlay.files_changed", by=cast.owner, target=maps.resource, path="another.cfg")
    OverlayWorkshopItem.objects.filter(item__steam_id=7).update(linked_version=int(later.timestamp()))
    OverlayWorkshopItem.objects.filter(item__steam_id=8).delete()
    Server.objects.update(restart_when_hung=True)
    server.host.game_version = "20300102T000000-101"
    server.host.save()
    crash(server, later + timedelta(hours=1))
    # What came after the crash is no suspect.
    Server.objects.update(name="Monday")

    assert changes(server, cast) == [
        ("settings", "Game version: 20300101T000000-100", "Game version: 20300102T000000-101"),
        ("settings", "", "Restart if unresponsive"),
        ("overlays", "Our config (version 0)", ""),
        ("overlays", "", "Our config (version 1)"),
        ("arguments", "", "-tickrate 60"),
        ("config", "sv_alltalk 0", ""),
        ("config", "", "sv_alltalk 1"),
        ("items", "Dead Before Dawn of 1 Jan 2030, in Maps", "Dead Before Dawn of 2 Jan 2030, in Maps"),
        ("items", "8 of 1 Jan 2030, in Maps", ""),
        ("access", "", f"Nick ({NICK}): Admin"),
    ]
    listed = found(server, cast)
    assert [version.number for version in listed.versions] == [2]
    assert [entry.details["path"] for entry in listed.edits] == ["cfg/server.cfg"]
    assert listed.failed is not None
    assert listed.failed.started_at == later + timedelta(hours=1)


def test_every_action_on_an_overlay_is_an_edit_or_is_known_to_change_no_files() -> None:
    known = {"backup", "create", "delete", "delete_backup", "files_discarded", "upload_discarded"}
    # What Steam brought is compared item by item.
    known |= {"item_retried", "link_changed", "refreshed"}
    # A fetched archive changes files when it is extracted, which is an edit of its own.
    known |= {"fetch"}
    actions_of_overlays = {action for action in sentences.SENTENCES if action.startswith("overlay.")}
    assert actions_of_overlays == {*suspects._EDITS, *(f"overlay.{action}" for action in known)}


def test_another_blueprint_is_one_change_and_its_versions_are_not_listed(cast: Cast, server: Server) -> None:
    run_well(server, BEGIN)
    other = make_blueprint(cast.owner, name="Co-op", overlays=server.blueprint.layers, config="sv_alltalk 0")
    Server.objects.update(blueprint=other)
    actions.update_blueprint(blueprint=other, seen_version=1, by=cast.owner, description="x")
    crash(server, BEGIN + timedelta(hours=4))
    assert changes(server, cast) == [("settings", "Blueprint: Versus", "Blueprint: Co-op")]
    assert found(server, cast).versions == []


def test_a_start_that_brings_no_game_is_compared_as_it_would_be_now(cast: Cast, server: Server) -> None:
    run_well(server, BEGIN)
    actions.update_blueprint(blueprint=server.blueprint, seen_version=1, by=cast.owner, config="")
    state_log.set_last_error(server, "The overlays could not be mounted.")
    assert changes(server, cast) == [("config", "sv_alltalk 0", "")]
    assert found(server, cast).failed is None


def test_without_a_good_run_nothing_is_compared(cast: Cast, server: Server) -> None:
    crash(server, BEGIN)
    assert found(server, cast).good is None
    assert changes(server, cast) == []


# --- pages ---


@pytest.fixture
def crashed(cast: Cast, server: Server) -> Server:
    """A server that crashes since the last change of its blueprint."""
    now = timezone.now()
    run_well(server, now - timedelta(hours=10))
    actions.update_blueprint(blueprint=server.blueprint, seen_version=1, by=cast.owner, config="sv_alltalk 1")
    crash(server, now - timedelta(hours=5))
    return server


def test_the_page_of_a_crashed_server_leads_to_what_changed(client: Client, cast: Cast, crashed: Server) -> None:
    client.force_login(cast.owner)
    page = client.get(f"/servers/{crashed.pk}").content.decode()
    assert "It last ran well" in page
    assert "server.cfg (2)" in page
    page = client.get(f"/servers/{crashed.pk}/suspects").content.decode()
    assert "- sv_alltalk 0" in page
    assert "Version 2" in page
    assert "Start without the last change" in page


def test_a_change_that_the_game_has_run_well_with_is_not_offered_to_be_undone(
    client: Client, cast: Cast, crashed: Server
) -> None:
    run_well(crashed, timezone.now() - timedelta(hours=4))
    crash(crashed, timezone.now())
    client.force_login(cast.owner)
    page = client.get(f"/servers/{crashed.pk}").content.decode()
    assert "Nothing has changed since then." in page
    assert "Start without the last change" not in page


def test_only_those_who_may_change_the_server_see_it(client: Client, cast: Cast, crashed: Server) -> None:
    actions.share(server=crashed, username="otto", role="operator", by=cast.owner)
    client.force_login(cast.operator)
    assert "It last ran well" not in client.get(f"/servers/{crashed.pk}").content.decode()
    assert client.get(f"/servers/{crashed.pk}/suspects").status_code == 403


def test_the_api_lists_it_too(api: Caller, cast: Cast, crashed: Server) -> None:
    status, answer = api.by(cast.owner).get(f"/servers/{crashed.pk}/suspects")
    assert status == 200
    assert answer["changes"] == [
        {"area": "config", "before": "sv_alltalk 0", "after": ""},
        {"area": "config", "before": "", "after": "sv_alltalk 1"},
    ]
    assert [(version["number"], version["user"]) for version in answer["versions"]] == [(2, "anna")]
    assert answer["failed"]["started_at"] > answer["good"]["ended_at"]
    assert api.by(cast.stranger).get(f"/servers/{crashed.pk}/suspects")[0] == 404
