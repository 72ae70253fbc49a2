"""Pages of servers and blueprints: what they show, what they save, and that typed things are kept."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from left4me.audit.models import AuditEntry
from left4me.jobs.models import Job
from left4me.testing.caller import Caller
from left4me.testing.cast import Cast
from overlays.tests.factories import make_overlay
from servers.models import Blueprint, Host, Server, ServerShare, StarterBlueprint
from servers.tests.factories import make_blueprint, make_host, make_server, share

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def _host_is_up(db: None) -> None:
    make_host(last_seen_at=timezone.now())


@pytest.fixture
def owner_client(cast: Cast, client: Client) -> Client:
    client.force_login(cast.owner)
    return client


# --- the way of a new user ------------------------------------------------------------------------------------


def test_a_new_user_is_led_from_nothing_to_a_server(cast: Cast, owner_client: Client) -> None:
    assert reverse("servers:new") in owner_client.get("/").content.decode()
    assert reverse("servers:new") in owner_client.get("/servers").content.decode()
    starter = StarterBlueprint.objects.create(name="Begin here", config="sv_pure 2")
    assert f"?starter={starter.pk}" in owner_client.get("/blueprints").content.decode()
    form = owner_client.get(f"/blueprints/new?starter={starter.pk}").context["form"]
    sent = {name: form[name].value() or "" for name in ("name", "description", "arguments", "config")}
    response = owner_client.post("/blueprints/new", sent)
    blueprint = Blueprint.objects.get(owner=cast.owner)
    assert (response.url, blueprint.config) == (blueprint.get_absolute_url(), "sv_pure 2")
    host = Host.objects.get()
    sent = {"name": "Friday", "base": f"blueprint-{blueprint.pk}", "host": host.pk}
    response = owner_client.post("/servers/new", sent)
    server = Server.objects.get()
    assert response.url == server.get_absolute_url()
    assert (server.port, len(server.rcon_password)) == (host.first_port, 43)
    assert "Friday" in owner_client.get("/").content.decode()


def test_a_template_that_is_switched_off_is_not_offered(owner_client: Client) -> None:
    starter = StarterBlueprint.objects.create(name="Off", is_offered=False)
    assert f"starter={starter.pk}" not in owner_client.get("/blueprints").content.decode()
    assert owner_client.get(f"/blueprints/new?starter={starter.pk}").context["form"]["name"].value() in (None, "")


# --- servers --------------------------------------------------------------------------------------------------


def test_the_list_shows_state_drift_and_owner_of_shared_ones(cast: Cast, client: Client) -> None:
    server = make_server(cast.owner, name="Friday", desired_state="running", actual_state="gave_up")
    share(server, cast.viewer)
    client.force_login(cast.viewer)
    page = client.get("/servers").content.decode()
    assert "Keeps crashing" in page and "Should be" not in page and "anna" in page
    assert "<form" not in page.split("<tbody>")[1].split("</tbody>")[0]


def test_htmx_gets_only_the_table_that_moves(cast: Cast, owner_client: Client) -> None:
    make_server(cast.owner, name="Friday")
    page = owner_client.get("/servers", headers=HTMX).content.decode()
    assert "Friday" in page and "<html" not in page


def test_a_start_button_answers_with_the_server_as_starting(cast: Cast, owner_client: Client) -> None:
    server = make_server(cast.owner)
    page = owner_client.post(f"/servers/{server.pk}/actions", {"operation": "start"}, headers=HTMX).content.decode()
    server.refresh_from_db()
    job = Job.objects.get()
    assert (job.operation, job.resource, job.state, job.user) == ("start", f"server:{server.pk}", "queued", cast.owner)
    assert server.desired_state == "running"
    assert 'data-state="starting"' in page and "Queued" in page


def test_without_a_script_a_button_leads_back_to_the_page(cast: Cast, owner_client: Client) -> None:
    server = make_server(cast.owner)
    response = owner_client.post(f"/servers/{server.pk}/actions", {"operation": "start"})
    assert response.url == server.get_absolute_url()


def test_an_operation_that_does_not_exist_is_refused_in_words(cast: Cast, owner_client: Client) -> None:
    server = make_server(cast.owner)
    response = owner_client.post(f"/servers/{server.pk}/actions", {"operation": "explode"}, follow=True)
    assert "explode" in response.content.decode()
    assert not Job.objects.exists()


def test_an_operator_runs_a_server_but_does_not_delete_it(cast: Cast, client: Client) -> None:
    server = make_server(cast.owner)
    share(server, cast.operator, ServerShare.Role.OPERATOR)
    client.force_login(cast.operator)
    assert client.post(f"/servers/{server.pk}/actions", {"operation": "start"}).status_code == 302
    assert client.post(f"/servers/{server.pk}/actions", {"operation": "delete"}).status_code == 403
    page = client.get(f"/servers/{server.pk}").content.decode()
    assert "RCON password" not in page and server.rcon_password not in page


def test_a_taken_port_is_told_at_its_field_and_what_was_typed_stays(cast: Cast, owner_client: Client) -> None:
    taken = make_server(cast.stranger)
    blueprint = make_blueprint(cast.owner)
    sent = {"name": "Mine", "base": f"blueprint-{blueprint.pk}", "host": taken.host_id, "port": taken.port}
    response = owner_client.post("/servers/new", sent)
    assert response.status_code == 422
    assert response.context["form"].errors == {
        "port": ["Another server on this host uses this port. Choose another one."]
    }
    assert 'value="Mine"' in response.content.decode()


def test_the_second_of_two_editors_is_told_and_may_then_decide(cast: Cast, owner_client: Client) -> None:
    server = make_server(cast.owner, name="Friday")
    sent = {"name": "First", "blueprint": server.blueprint_id, "port": server.port, "version": 1}
    assert owner_client.post(f"/servers/{server.pk}/settings", sent).status_code == 302
    response = owner_client.post(f"/servers/{server.pk}/settings", {**sent, "name": "Second"})
    page = response.content.decode()
    assert response.status_code == 409 and "Someone else edited this" in page and 'value="Second"' in page
    server.refresh_from_db()
    assert server.name == "First"
    version = re.search(r'name="version" value="(\d+)"', page)
    assert version and int(version[1]) == server.version
    response = owner_client.post(f"/servers/{server.pk}/settings", {**sent, "name": "Second", "version": version[1]})
    assert response.status_code == 302


def test_the_port_of_a_running_server_stays(cast: Cast, owner_client: Client) -> None:
    server = make_server(cast.owner, desired_state="running", actual_state="running", started_at=timezone.now())
    sent = {"name": "x", "blueprint": server.blueprint_id, "port": server.port + 1, "version": 1}
    response = owner_client.post(f"/servers/{server.pk}/settings", sent)
    assert list(response.context["form"].errors) == ["port"]


def test_the_password_is_shown_on_demand_and_that_it_was_is_recorded(cast: Cast, owner_client: Client) -> None:
    server = make_server(cast.owner, rcon_password="Sesame123")
    assert "Sesame123" not in owner_client.get(f"/servers/{server.pk}").content.decode()
    response = owner_client.post(f"/servers/{server.pk}/password")
    assert "Sesame123" in response.content.decode() and "no-store" in response["Cache-Control"]
    assert AuditEntry.objects.filter(action="server.show_password", target=server.resource).count() == 1
    owner_client.post(f"/servers/{server.pk}/password/rotate")
    server.refresh_from_db()
    assert server.rcon_password != "Sesame123"


def test_a_server_is_shared_and_taken_back(cast: Cast, owner_client: Client) -> None:
    server = make_server(cast.owner)
    owner_client.post(f"/servers/{server.pk}/shares", {"username": "OTTO", "role": "operator"})
    given = server.shares.get()
    assert (given.user, given.role) == (cast.operator, "operator")
    owner_client.post(f"/servers/{server.pk}/shares", {"username": "otto", "role": "viewer"})
    given.refresh_from_db()
    assert given.role == "viewer"
    owner_client.post(f"/servers/{server.pk}/shares/{given.pk}/revoke")
    assert not server.shares.exists()


@pytest.mark.parametrize("how", ["revoke", "viewer", "deactivated"])
def test_the_rcon_password_changes_when_an_operator_s_share_ends(cast: Cast, owner_client: Client, how: str) -> None:
    server = make_server(cast.owner, rcon_password="Sesame123")
    operator, viewer = share(server, cast.operator, "operator"), share(server, cast.viewer, "viewer")
    owner_client.post(f"/servers/{server.pk}/shares/{viewer.pk}/revoke")
    server.refresh_from_db()
    assert server.rcon_password == "Sesame123", "a viewer never had the console"
    if how == "revoke":
        owner_client.post(f"/servers/{server.pk}/shares/{operator.pk}/revoke")
    elif how == "viewer":
        owner_client.post(f"/servers/{server.pk}/shares", {"username": "otto", "role": "viewer"})
    else:
        owner_client.force_login(cast.admin)
        owner_client.post(f"/users/{cast.viewer.pk}/active", {"is_active": "no"})
        server.refresh_from_db()
        assert server.rcon_password == "Sesame123"
        owner_client.post(f"/users/{cast.operator.pk}/active", {"is_active": "no"})
    server.refresh_from_db()
    assert server.rcon_password != "Sesame123"


@pytest.mark.parametrize("name", ["nobody", "anna", ""])
def test_a_server_is_not_shared_with_nobody_or_its_owner(cast: Cast, owner_client: Client, name: str) -> None:
    server = make_server(cast.owner)
    response = owner_client.post(f"/servers/{server.pk}/shares", {"username": name, "role": "viewer"})
    assert response.status_code == 422
    assert not server.shares.exists()


def test_the_servers_of_a_silent_host_are_unknown(cast: Cast, owner_client: Client) -> None:
    make_server(cast.owner, actual_state="running", desired_state="running")
    Host.objects.update(last_seen_at=None)
    page = owner_client.get("/servers").content.decode()
    assert "Host offline" in page and 'data-state="unknown"' in page and 'data-state="running"' not in page


def test_what_the_next_start_changes_is_shown(cast: Cast, owner_client: Client) -> None:
    server = make_server(cast.owner, blueprint=make_blueprint(cast.owner, config="sv_pure 2"))
    page = owner_client.get(f"/servers/{server.pk}/changes").content.decode()
    assert "+ sv_pure 2" in page


def test_deleting_a_server_asks_for_the_operation(cast: Cast, owner_client: Client) -> None:
    server = make_server(cast.owner)
    assert "Delete" in owner_client.get(f"/servers/{server.pk}/delete").content.decode()
    owner_client.post(f"/servers/{server.pk}/delete")
    assert Job.objects.get().operation == "delete"


# --- blueprints -----------------------------------------------------------------------------------------------


def test_refused_lines_are_named_and_the_text_stays(cast: Cast, owner_client: Client) -> None:
    sent = {"name": "Mine", "arguments": "+map c1m1_hotel", "config": "sv_pure 2\nsay \x07"}
    response = owner_client.post("/blueprints/new", sent)
    assert response.status_code == 422
    errors = response.context["form"].errors
    assert errors["config"][0].startswith("Line 2: ")
    assert "say \x07" in response.content.decode()


def test_refused_lines_are_left_out_by_one_press(cast: Cast, owner_client: Client) -> None:
    sent = {
        "name": "Mine",
        "arguments": "+map c1m1_hotel",
        "config": "sv_pure 2\nsay \x07\nsv_tags x",
    }
    sent |= {"connect_ports": "80"}
    refused = owner_client.post("/blueprints/new", sent)
    assert "Save without the refused lines" in refused.content.decode()
    assert owner_client.post("/blueprints/new", {**sent, "leave_out": "yes"}).status_code == 302
    made = Blueprint.objects.get()
    assert (made.arguments, made.config) == ("+map c1m1_hotel", "sv_pure 2\nsv_tags x")


def test_the_order_of_overlays_is_the_order_sent(cast: Cast, owner_client: Client) -> None:
    first, second, third = (make_overlay() for _ in range(3))
    blueprint = make_blueprint(cast.owner, overlays=[first, second])
    sent = {"name": "x", "version": 1, "overlays": [third.pk, second.pk, first.pk]}
    assert owner_client.post(f"/blueprints/{blueprint.pk}/edit", sent).status_code == 302
    assert Blueprint.objects.get().layers == [third, second, first]


def test_the_stacks_own_buttons_work_without_a_script_and_save_nothing(cast: Cast, owner_client: Client) -> None:
    first, second, third = (make_overlay() for _ in range(3))
    blueprint = make_blueprint(cast.owner, overlays=[first, second])
    sent = {"name": "typed", "version": 1, "overlays": [first.pk, second.pk], "config": "half typed"}
    address = f"/blueprints/{blueprint.pk}/edit"

    def stack(**more: object) -> list[object]:
        response = owner_client.post(address, {**sent, **more})
        assert response.status_code == 200 and 'value="typed"' in response.content.decode()
        return response.context["form"].stack

    assert stack(rearrange=f"down,{first.pk}") == [second, first]
    assert stack(rearrange=f"up,{second.pk}") == [second, first]
    assert stack(rearrange=f"remove,{first.pk}") == [second]
    assert stack(rearrange="add", add=third.pk) == [third, first, second]
    assert Blueprint.objects.get().layers == [first, second]


def test_the_plain_buttons_of_the_page_move_an_overlay(cast: Cast, owner_client: Client) -> None:
    first, second = make_overlay(), make_overlay()
    blueprint = make_blueprint(cast.owner, overlays=[first, second])
    address = f"/blueprints/{blueprint.pk}/move"
    owner_client.post(address, {"version": 1, "move": f"{second.pk},up"})
    assert Blueprint.objects.get().layers == [second, first]
    response = owner_client.post(address, {"version": 1, "move": f"{first.pk},up"}, follow=True)
    assert "Someone else" in response.content.decode()
    assert Blueprint.objects.get().layers == [second, first]
    assert owner_client.post(address, {"version": "x", "move": "y"}).status_code == 400


def test_an_overlay_of_somebody_else_cannot_be_taken(cast: Cast, owner_client: Client) -> None:
    foreign = make_overlay(owner=cast.stranger)
    response = owner_client.post("/blueprints/new", {"name": "x", "overlays": [foreign.pk]})
    assert response.status_code == 422
    assert foreign.name not in response.content.decode()


def test_a_blueprint_with_servers_is_not_deleted_and_they_are_named(cast: Cast, owner_client: Client) -> None:
    server = make_server(cast.owner, name="Friday")
    response = owner_client.post(f"/blueprints/{server.blueprint_id}/delete")
    assert response.status_code == 409 and "Friday" in response.content.decode()
    empty = make_blueprint(cast.owner)
    assert owner_client.post(f"/blueprints/{empty.pk}/delete").status_code == 302
    assert not Blueprint.objects.filter(pk=empty.pk).exists()


def test_a_clone_gets_a_name_of_its_own(cast: Cast, owner_client: Client) -> None:
    blueprint = make_blueprint(cast.owner, name="x" * 64, overlays=[make_overlay()], config="sv_pure 2")
    owner_client.post(f"/blueprints/{blueprint.pk}/clone")
    copy = Blueprint.objects.exclude(pk=blueprint.pk).get()
    assert copy.name == "x" * 60 + " (2)"
    assert (copy.config, copy.layers) == (blueprint.config, blueprint.layers)


def test_a_clone_for_an_admin_leaves_private_overlays_out(cast: Cast, client: Client) -> None:
    private, shared = make_overlay(owner=cast.owner), make_overlay()
    blueprint = make_blueprint(cast.owner, overlays=[private, shared])
    client.force_login(cast.admin)
    page = client.post(f"/blueprints/{blueprint.pk}/clone", follow=True).content.decode()
    assert "Not copied, because these overlays are private" in page
    assert Blueprint.objects.get(owner=cast.admin).layers == [shared]


def test_a_blueprint_of_many_servers_lists_them_by_pages(cast: Cast, owner_client: Client) -> None:
    blueprint = make_blueprint(cast.owner)
    host = make_host(first_port=27015, last_port=27115)
    for number in range(51):
        make_server(cast.owner, name=f"Server {number:02}", blueprint=blueprint, host=host, port=27015 + number)
    address = reverse("servers:blueprint", args=[blueprint.pk])
    first, second = (owner_client.get(address, {"page": page}).content.decode() for page in (1, 2))
    assert "Server 49" in first and "Server 50" not in first
    assert "Server 50" in second and "Server 49" not in second


def test_a_server_moves_by_its_page_and_by_the_api(client: Client, cast: Cast):
    now = timezone.now()
    server = make_server(cast.owner, host=make_host(last_seen_at=now, game_version="1"), port=27015)
    client.force_login(cast.owner)
    assert "/move" not in client.get(f"/servers/{server.pk}/settings").content.decode()
    two = make_host(name="two", address="203.0.113.7", last_seen_at=now, game_version="1")
    make_host(name="old", last_seen_at=None)
    assert f"/servers/{server.pk}/move" in client.get(f"/servers/{server.pk}/settings").content.decode()
    page = client.get(f"/servers/{server.pk}/move").content.decode()
    assert "203.0.113.7:27015" in page and "never connected" in page
    api = Caller(cast.owner)
    shown = {each["host"]: each for each in api.get(f"/servers/{server.pk}/move")[1]}
    assert (shown["two"]["new_address"], shown["two"]["obstacle"]) == ("203.0.113.7:27015", "")
    assert api.post(f"/servers/{server.pk}/move", {"host": "nowhere"})[0] == 422
    assert api.post(f"/servers/{server.pk}/move", {"host": "old"})[0] == 409
    assert Caller(cast.viewer).post(f"/servers/{server.pk}/move", {"host": "two"})[0] == 404
    answer = client.post(f"/servers/{server.pk}/move", {"host": two.pk, "warn_seconds": "10"})
    assert answer.status_code == 302
    job = Job.objects.get()
    assert (job.operation, job.params["to"], job.host) == ("move", "two", "local")
    assert "Moving" in client.get(server.get_absolute_url()).content.decode()
    assert api.post(f"/servers/{server.pk}/move", {"host": "two"})[0] == 409
