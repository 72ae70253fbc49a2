"""Servers, blueprints and hosts in the JSON API."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.utils import timezone

from accounts.tests.factories import bearer, make_token
from left4me.jobs.models import Job
from left4me.testing import wire
from left4me.testing.caller import Caller
from left4me.testing.cast import Cast
from overlays.models import Overlay, OverlayContents
from overlays.tests.factories import make_overlay
from servers.models import Blueprint, Host, Server, ServerShare
from servers.tests.factories import make_blueprint, make_host, make_server, share
from workshop import inspection

pytestmark = pytest.mark.django_db
WIRE = Path(__file__).parent / "wire"


@pytest.fixture(autouse=True)
def _host_is_up(db: None) -> None:
    make_host(last_seen_at=timezone.now())


@pytest.fixture
def server(cast: Cast) -> Server:
    layers = [make_overlay(name="Maps", kind="workshop"), make_overlay(name="Base", expose_cfg=True)]
    blueprint = make_blueprint(
        cast.owner, name="Versus", overlays=layers, arguments="+map c1m1_hotel", config="sv_pure 2\nsv_password x"
    )
    return make_server(cast.owner, name="Friday", port=27015, blueprint=blueprint)


# --- the wire format is frozen --------------------------------------------------------------------------------


def test_the_wire_of_servers(cast: Cast, api: Caller, server: Server) -> None:
    api = api.by(cast.owner)
    wire.check(api.get("/servers")[1], WIRE / "servers.json")
    wire.check(api.get(f"/servers/{server.pk}")[1], WIRE / "server.json")
    wire.check(api.post(f"/servers/{server.pk}/actions", {"operation": "start"})[1], WIRE / "action.json")
    wire.check(api.get(f"/servers/{server.pk}")[1], WIRE / "server_with_job.json")
    wire.check(api.get(f"/servers/{server.pk}/changes")[1], WIRE / "changes.json")


def test_the_wire_of_shares(cast: Cast, api: Caller, server: Server) -> None:
    api = api.by(cast.owner)
    given = api.post(f"/servers/{server.pk}/shares", {"username": "otto", "role": "operator"})[1]
    wire.check(given, WIRE / "share.json")
    wire.check(api.get(f"/servers/{server.pk}/shares")[1], WIRE / "shares.json")


def test_the_wire_of_blueprints(cast: Cast, api: Caller, server: Server) -> None:
    api = api.by(cast.owner)
    wire.check(api.get("/blueprints")[1], WIRE / "blueprints.json")
    wire.check(api.get(f"/blueprints/{server.blueprint_id}")[1], WIRE / "blueprint.json")


def test_the_wire_of_hosts(cast: Cast, api: Caller, server: Server) -> None:
    wire.check(api.by(cast.viewer).get("/hosts")[1], WIRE / "hosts.json")


def test_the_wire_of_refusals(cast: Cast, api: Caller, server: Server) -> None:
    api = api.by(cast.owner)
    refused = {
        "stale": api.patch(f"/servers/{server.pk}", {"version": 7, "name": "x"}),
        "in_use": api.delete(f"/blueprints/{server.blueprint_id}"),
        "invalid": api.post("/blueprints", {"name": "x", "config": ["sv_pure 2", "say \x07"]}),
        "taken": api.post("/servers", {"name": "x", "blueprint_id": server.blueprint_id, "port": 27015}),
        "unknown": api.get("/servers/999999"),
    }
    wire.check(
        {why: {"status": status, "body": body} for why, (status, body) in refused.items()}, WIRE / "refused.json"
    )


# --- what it does ---------------------------------------------------------------------------------------------


def test_a_server_is_made_changed_run_and_removed(cast: Cast, api: Caller) -> None:
    api = api.by(cast.owner)
    status, blueprint = api.post(
        "/blueprints", {"name": "b", "arguments": "+map c1m1_hotel\n", "config": ["sv_pure 2"]}
    )
    assert status == 201 and blueprint["config"] == ["sv_pure 2"]
    status, made = api.post("/servers", {"name": "Friday", "blueprint_id": blueprint["id"]})
    assert (status, made["host"], made["port"], made["role"]) == (201, "local", 27015, "owner")
    status, changed = api.patch(f"/servers/{made['id']}", {"version": made["version"], "name": "Saturday"})
    assert (status, changed["name"], changed["version"]) == (200, "Saturday", made["version"] + 1)
    status, job = api.post(f"/servers/{made['id']}/actions", {"operation": "start"})
    assert (status, job["operation"], job["state"], job["resource"]) == (
        202,
        "start",
        "queued",
        f"server:{made['id']}",
    )
    again = api.post(f"/servers/{made['id']}/actions", {"operation": "start"})[1]
    assert again["id"] == job["id"]
    assert api.get(f"/servers/{made['id']}")[1]["desired_state"] == "running"
    assert api.delete(f"/servers/{made['id']}")[0] == 202
    assert Job.objects.live().get().operation == "delete"


def test_a_server_gets_another_blueprint_without_a_version(api: Caller, cast: Cast) -> None:
    server, other = make_server(cast.owner), make_blueprint(cast.owner)
    status, changed = api.by(cast.owner).patch(f"/servers/{server.pk}", {"blueprint_id": other.pk})
    assert (status, changed["blueprint_id"]) == (200, other.pk)


def test_a_field_that_does_not_exist_is_named_and_changes_nothing(api: Caller, cast: Cast) -> None:
    server = make_server(cast.owner, name="Friday")
    status, problem = api.by(cast.owner).patch(f"/servers/{server.pk}", {"name": "Monday", "overlay_ids": [1]})
    assert status == 422
    assert [error["field"] for error in problem["errors"]] == ["overlay_ids"]
    server.refresh_from_db()
    assert server.name == "Friday"


def test_two_edits_of_one_blueprint_overwrite_nothing(cast: Cast, api: Caller) -> None:
    blueprint = make_blueprint(cast.owner, config="sv_pure 2")
    api = api.by(cast.owner)
    assert api.patch(f"/blueprints/{blueprint.pk}", {"version": 1, "config": ["sv_pure 1"]})[0] == 200
    status, problem = api.patch(f"/blueprints/{blueprint.pk}", {"version": 1, "config": ["sv_pure 0"]})
    assert (status, problem["version"]) == (409, 2)
    assert Blueprint.objects.get().config == "sv_pure 1"
    assert api.patch(f"/blueprints/{blueprint.pk}", {"config": []})[0] == 422


def test_a_change_leaves_what_it_does_not_name(cast: Cast, api: Caller) -> None:
    overlay = make_overlay()
    blueprint = make_blueprint(cast.owner, overlays=[overlay], config="sv_pure 2", description="d")
    answer = api.by(cast.owner).patch(f"/blueprints/{blueprint.pk}", {"version": 1, "name": "new"})[1]
    assert (answer["name"], answer["config"], answer["description"]) == ("new", ["sv_pure 2"], "d")
    assert [layer["id"] for layer in answer["overlays"]] == [overlay.pk]
    answer = api.by(cast.owner).patch(f"/blueprints/{blueprint.pk}", {"version": 2, "overlays": []})[1]
    assert answer["overlays"] == []


def test_overlays_that_one_may_not_use_do_not_exist_for_one(cast: Cast, api: Caller) -> None:
    foreign = make_overlay(owner=cast.stranger, name="secret plan")
    status, problem = api.by(cast.owner).post("/blueprints", {"name": "b", "overlays": [foreign.pk]})
    assert status == 422 and "secret plan" not in str(problem)


def test_a_server_is_made_only_from_ones_own_blueprint(cast: Cast, api: Caller) -> None:
    foreign = make_blueprint(cast.stranger)
    assert api.by(cast.owner).post("/servers", {"name": "s", "blueprint_id": foreign.pk})[0] == 422
    assert not Server.objects.exists()


def test_the_password_is_read_and_made_anew_by_its_owner(cast: Cast, api: Caller, server: Server) -> None:
    api = api.by(cast.owner)
    before = api.get(f"/servers/{server.pk}/rcon-password")[1]["rcon_password"]
    assert before == server.rcon_password
    after = api.post(f"/servers/{server.pk}/rcon-password")[1]["rcon_password"]
    assert after not in {before, ""} and after.isalnum() and len(after) == 43


def test_no_answer_but_the_one_holds_the_password(cast: Cast, api: Caller, server: Server) -> None:
    for path in ("/servers", f"/servers/{server.pk}", f"/servers/{server.pk}/changes", "/blueprints", "/hosts"):
        assert server.rcon_password not in str(api.by(cast.admin).get(path)[1])


def test_a_viewer_sees_what_they_are_to_it(cast: Cast, api: Caller, server: Server) -> None:
    share(server, cast.viewer)
    share(server, cast.operator, ServerShare.Role.OPERATOR)
    for user, role in ((cast.viewer, "viewer"), (cast.operator, "operator"), (cast.admin, "admin")):
        assert api.by(user).get(f"/servers/{server.pk}")[1]["role"] == role
        assert api.by(user).get("/servers")[1]["items"][0]["role"] == role


def test_a_blueprint_travels_as_yaml(cast: Cast, api: Caller, server: Server) -> None:
    status, text = api.by(cast.owner).get(f"/blueprints/{server.blueprint_id}/export")
    assert status == 200 and "left4me_blueprint: 1" in text
    status, made = api.by(cast.stranger).post("/blueprints/import", {"yaml": text})
    assert (status, made["blueprint"]["name"], made["blueprint"]["owner"]) == (201, "Versus", "stan")
    assert api.by(cast.owner).post("/blueprints/import", {"yaml": "{"})[0] == 422


def test_only_admins_run_and_change_hosts(cast: Cast, api: Caller) -> None:
    host = Host.objects.get()
    assert api.by(cast.owner).post(f"/hosts/{host.pk}/actions", {"operation": "install"})[0] == 403
    assert api.by(cast.owner).patch(f"/hosts/{host.pk}", {"address": "evil"})[0] == 403
    status, job = api.by(cast.admin).post(f"/hosts/{host.pk}/actions", {"operation": "install"})
    assert (status, job["resource"], job["operation"]) == (202, "game", "install")
    status, changed = api.by(cast.admin).patch(f"/hosts/{host.pk}", {"address": "games.example.org"})
    assert (status, changed["address"], changed["first_port"]) == (200, "games.example.org", 27015)
    assert api.by(cast.admin).patch(f"/hosts/{host.pk}", {"first_port": 40000})[0] == 422


def test_a_token_does_no_more_than_its_scope(cast: Cast, server: Server, client: object, redis_client: object) -> None:
    key = make_token(cast.owner, scope="read")
    assert client.get(f"/api/v1/servers/{server.pk}", headers=bearer(key)).status_code == 200
    assert client.get(f"/api/v1/servers/{server.pk}/rcon-password", headers=bearer(key)).status_code == 403
    sent = {"data": {"operation": "start"}, "content_type": "application/json", "headers": bearer(key)}
    assert client.post(f"/api/v1/servers/{server.pk}/actions", **sent).status_code == 403
    assert not Job.objects.exists()


def test_lists_come_in_windows(cast: Cast, api: Caller) -> None:
    blueprint = make_blueprint(cast.owner)
    for number in range(5):
        make_server(cast.owner, name=f"s{number}", blueprint=blueprint)
    answer = api.by(cast.owner).get("/servers?limit=2&offset=3")[1]
    assert ([item["name"] for item in answer["items"]], answer["count"]) == (["s3", "s4"], 5)
    assert api.by(cast.owner).get("/servers?limit=0")[0] == 422
    assert api.by(cast.owner).get("/servers?q=S1")[1]["count"] == 1
    assert api.by(cast.owner).get("/servers?state=running")[1]["count"] == 0


def test_an_overlay_in_use_stays_and_says_where(cast: Cast, api: Caller) -> None:
    overlay = make_overlay()
    make_blueprint(cast.owner, name="Versus", overlays=[overlay])
    status, problem = api.by(cast.admin).delete(f"/overlays/{overlay.pk}")
    assert (status, problem["blueprints"]) == (409, [{"name": "Versus", "owner": "anna"}])
    assert Overlay.objects.filter(pk=overlay.pk).exists()


def test_the_files_that_several_layers_bring_are_listed(cast: Cast, api: Caller) -> None:
    layers = [make_overlay(name="top", owner=cast.owner), make_overlay(name="low", owner=cast.owner)]
    for overlay, spelling in zip(layers, ("Rules", "rules"), strict=True):
        paths = inspection.pack_paths(["left4dead2/cfg/a.cfg", f"left4dead2/cfg/{spelling}.cfg"])
        OverlayContents.objects.create(
            overlay=overlay, packed_paths=paths, packed_game_paths=inspection.pack_paths([])
        )
    blueprint = make_blueprint(cast.owner, overlays=layers)
    status, found = api.by(cast.owner).get(f"/blueprints/{blueprint.pk}/conflicts")
    assert (status, found["is_cut"]) == (200, False)
    assert found["groups"] == [{"winner": "top", "losers": ["low"], "paths": ["left4dead2/cfg/a.cfg"]}]
    assert [each["layer"] for each in found["letter_case"][0]] == ["top", "low"]
