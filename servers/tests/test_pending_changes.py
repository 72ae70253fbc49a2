"""What a restart would change."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from left4me.core import secrets
from left4me.testing.cast import Cast
from overlays import paths
from overlays.models import Overlay
from overlays.tests.factories import make_overlay
from servers.lifecycle import launch_plan, pending_changes
from servers.models import Blueprint, BlueprintOverlay, Host, Server
from servers.tests.factories import make_blueprint, make_server

pytestmark = pytest.mark.django_db


@pytest.fixture
def running(cast: Cast) -> Server:
    layers = [make_overlay(name="maps"), make_overlay(name="base", expose_cfg=True)]
    blueprint = make_blueprint(
        cast.owner, overlays=layers, config="sv_pure 2\nsv_alltalk 0", arguments="+map c1m1_hotel"
    )
    server = make_server(cast.owner, blueprint=blueprint, actual_state=Server.State.RUNNING)
    start = composed(server, game_version="v1")
    launch_plan.record_start(server, start, now=timezone.now())
    return fresh(server)


def composed(server: Server, *, game_version: str = "") -> launch_plan.LaunchPlan:
    layers = server.blueprint.layers
    trees = {layer.pk: paths.directory(layer) for layer in layers}
    places = launch_plan.HostPaths(game=Path("/srv/game"), overlays=trees, cache=Path("/srv/cache"))
    return launch_plan.compose(server, layers=layers, places=places, game_version=game_version)


def fresh(server: Server) -> Server:
    return Server.objects.with_blueprint().get(pk=server.pk)


def seen(server: Server) -> list[tuple[str, str, str]]:
    return [(change.area, change.before, change.after) for change in pending_changes.pending(fresh(server))]


def test_a_server_that_just_started_needs_no_restart(running: Server) -> None:
    assert not pending_changes.restart_needed(running)
    assert seen(running) == []


def test_a_changed_config_line_shows_as_one_line_going_and_one_coming(running: Server) -> None:
    Blueprint.objects.update(config="sv_pure 2\nsv_alltalk 1")
    assert pending_changes.restart_needed(fresh(running))
    assert seen(running) == [("config", "sv_alltalk 0", ""), ("config", "", "sv_alltalk 1")]


def test_new_content_of_an_overlay_asks_for_a_restart(running: Server) -> None:
    Overlay.objects.filter(name="maps").update(content_version=5)
    assert pending_changes.restart_needed(fresh(running))
    assert [area for area, _, _ in seen(running)] == ["overlays", "overlays"]


def test_another_order_of_overlays_asks_for_a_restart(running: Server) -> None:
    links = list(BlueprintOverlay.objects.order_by("position"))
    BlueprintOverlay.objects.filter(pk=links[0].pk).update(position=9)
    assert pending_changes.restart_needed(fresh(running))


def test_a_newer_game_on_the_host_asks_for_a_restart(running: Server) -> None:
    Host.objects.update(game_version="v2")
    assert seen(running) == [("settings", "Game version: v1", "Game version: v2")]


def test_a_new_password_counts_from_the_next_start(running: Server) -> None:
    running.rcon_password = secrets.new_password()
    running.save()
    assert pending_changes.restart_needed(fresh(running))
    assert seen(running) == [("settings", "", "New RCON password")]


@pytest.mark.parametrize(
    "cosmetic",
    [
        lambda: Blueprint.objects.update(config="// why\nsv_pure 2\n\nsv_alltalk 0 // quiet", name="another"),
        lambda: Overlay.objects.filter(name="maps").update(name="campaigns"),
    ],
)
def test_what_changes_nothing_in_the_game_asks_for_no_restart(running: Server, cosmetic: object) -> None:
    cosmetic()
    assert not pending_changes.restart_needed(fresh(running))


def test_a_stopped_server_needs_no_restart_but_shows_what_its_next_start_changes(running: Server) -> None:
    Server.objects.update(actual_state=Server.State.STOPPED)
    Blueprint.objects.update(config="")
    assert not pending_changes.restart_needed(fresh(running))
    assert [before for _, before, _ in seen(running)] == ["sv_pure 2", "sv_alltalk 0"]


def test_a_server_that_never_started_shows_all_of_its_blueprint(cast: Cast) -> None:
    server = make_server(cast.owner, blueprint=make_blueprint(cast.owner, config="sv_pure 2"))
    assert ("config", "", "sv_pure 2") in seen(server)


def test_a_page_of_servers_is_judged_without_a_query_for_each(
    cast: Cast, running: Server, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(5):
        make_server(cast.owner, blueprint=running.blueprint, actual_state=Server.State.RUNNING)
    with django_assert_num_queries(2):
        for server in Server.objects.with_blueprint():
            pending_changes.restart_needed(server)


def test_a_start_reads_the_exposed_configuration_of_an_overlay_and_follows_no_link(
    cast: Cast, settings: object, tmp_path: Path
) -> None:
    settings.LEFT4ME_ROOT = tmp_path
    plain, linked = make_overlay(expose_cfg=True), make_overlay(expose_cfg=True)
    for overlay in (plain, linked):
        (paths.directory(overlay) / paths.CFG).parent.mkdir(parents=True)
    (paths.directory(plain) / paths.CFG).write_text("sv_alltalk 1\n")
    (tmp_path / "secret_key").write_text("do not read me")
    (paths.directory(linked) / paths.CFG).symlink_to(tmp_path / "secret_key")
    server = make_server(cast.owner, blueprint=make_blueprint(cast.owner, overlays=[plain, linked]))

    start = composed(server)

    assert start.spec.generated[f"left4dead2/cfg/server_overlay_{plain.pk}.cfg"] == "sv_alltalk 1\n"
    assert "do not read me" not in start.spec.to_json()
    assert start.spec.layers[:2] == (str(paths.directory(plain)), str(paths.directory(linked)))
