"""Ports of servers: chosen so that they are really free, offered when one is taken, and SourceTV's own."""

from __future__ import annotations

import socket

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from left4me.audit.models import AuditEntry
from left4me.core.net import ports as machine_ports
from left4me.testing.caller import Caller
from left4me.testing.cast import Cast
from servers import actions
from servers.hosts import ports
from servers.lifecycle import launch_plan
from servers.models import Blueprint, Server
from servers.models.connect_ports import parse_ports
from servers.tests.factories import make_blueprint, make_host, make_server

pytestmark = pytest.mark.django_db


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> dict[int, str]:
    """The ports that the host reports as taken."""
    found: dict[int, str] = {}
    monkeypatch.setattr(ports, "ask", lambda host, asked: {port: found[port] for port in asked if port in found})
    return found


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_port_that_a_program_holds_is_found_with_its_holder(kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as holder:
        holder.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            holder.listen()
        port = holder.getsockname()[1]
        assert list(ports.busy_here([port])) == [port]
        assert "(process " in machine_ports.holder(port)
    assert ports.busy_here([port]) == {}


def test_a_new_server_gets_a_port_that_its_host_has_free(cast: Cast, busy: dict[int, str]) -> None:
    host = make_host(first_port=27015, last_port=27018)
    busy.update({27015: "nc (process 7)", 27016: ""})
    made = actions.create_server(
        owner=cast.owner, by=cast.owner, name="x", blueprint=make_blueprint(cast.owner), host=host
    )
    assert made.port == 27017


def test_a_taken_port_is_refused_with_its_holder_and_one_press_takes_the_offered_one(
    cast: Cast, client, busy: dict[int, str]
) -> None:
    blueprint, host = make_blueprint(cast.owner), make_host(first_port=27015, last_port=27018)
    busy[27015] = "nc (process 7)"
    client.force_login(cast.owner)
    sent = {"name": "x", "base": f"blueprint-{blueprint.pk}", "host": host.pk, "port": "27015"}
    page = client.post("/servers/new", sent).content.decode()
    assert "in use by nc (process 7). Port 27016 is free." in page and 'value="27016"' in page
    assert client.post("/servers/new", {**sent, "use_port": "27016"}).status_code == 302
    assert Server.objects.get().port == 27016


def test_a_server_that_does_not_run_changes_its_port_whatever_is_wanted(
    cast: Cast, api: Caller, busy: dict[int, str]
) -> None:
    server = make_server(cast.owner, desired_state="running", actual_state="stopped")
    api = api.by(cast.owner)
    assert api.patch(f"/servers/{server.pk}", {"version": 1, "port": server.port + 1})[0] == 200
    Server.objects.update(actual_state="running")
    refused = api.patch(f"/servers/{server.pk}", {"version": 2, "port": server.port + 2})
    assert refused[0] == 422 and "Stop the server" in str(refused[1])


def test_the_offered_port_is_taken_and_the_server_started(cast: Cast, client, busy: dict[int, str]) -> None:
    make_host(last_seen_at=timezone.now())
    server = make_server(cast.owner, desired_state="running", actual_state="stopped", last_error="Port taken.")
    Server.objects.update(offered_port=server.port + 1)
    client.force_login(cast.owner)
    assert f"Use port {server.port + 1} and start" in client.get(f"/servers/{server.pk}").content.decode()
    assert client.post(f"/servers/{server.pk}/port").status_code == 302
    changed = Server.objects.get()
    assert (changed.port, changed.offered_port, changed.last_error) == (server.port + 1, None, "")
    assert AuditEntry.objects.filter(action="server.start").exists()


def test_a_stopped_server_that_is_wanted_running_can_be_stopped(cast: Cast, client) -> None:
    server = make_server(cast.owner, desired_state="running", actual_state="stopped")
    client.force_login(cast.owner)
    assert 'value="stop"' in client.get(f"/servers/{server.pk}").content.decode()
    client.post(f"/servers/{server.pk}/actions", {"operation": "stop"})
    assert Server.objects.get().desired_state == "stopped"


# --- SourceTV --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("texts", [{"arguments": "+tv_enable 1"}, {"config": "sv_pure 2\ntv_enable 1"}])
def test_sourcetv_gets_a_port_of_its_own(cast: Cast, api: Caller, texts: dict[str, str], busy: dict[int, str]) -> None:
    host = make_host(first_port=27015, last_port=27020)
    blueprint = make_blueprint(cast.owner)
    one, two = (make_server(cast.owner, host=host, blueprint=blueprint) for _ in range(2))
    actions.update_blueprint(blueprint=blueprint, seen_version=1, by=cast.owner, **texts)
    assert list(Server.objects.order_by("pk").values_list("tv_port", flat=True)) == [27020, 27019]
    assert api.by(cast.owner).get(f"/servers/{one.pk}")[1]["tv_port"] == 27020
    assert actions.servers.free_port(host) == 27017
    with pytest.raises(ValidationError, match="Another server"):
        actions.update_server(server=two, seen_version=1, by=cast.owner, port=27020)
    one.refresh_from_db()
    assert "+tv_port 27020" in " ".join(launch_plan.arguments(port=1, tv_port=one.tv_port, text=""))
    actions.update_blueprint(
        blueprint=Blueprint.objects.get(), seen_version=2, by=cast.owner, arguments="", config="tv_enable 0"
    )
    assert not Server.objects.exclude(tv_port=None).exists()


# --- what the game may connect to ------------------------------------------------------------------------------


def test_ports_are_read_as_people_write_them() -> None:
    assert parse_ports("80,443; 27015 - 27017 8080") == (80, 443, 8080, 27015, 27016, 27017)
    assert parse_ports("") == ()
    for wrong in ("http", "0", "70000", "9-3", "1-65535"):
        with pytest.raises(ValidationError):
            parse_ports(wrong)


def test_the_sandbox_of_a_blueprint_is_set_by_api_and_recorded(cast: Cast, api: Caller) -> None:
    api = api.by(cast.owner)
    made = api.post("/blueprints", {"name": "x", "connect_ports": "80, 8080", "allow_ptrace": True})[1]
    assert (made["connect_ports"], made["allow_ptrace"]) == ("80, 8080", True)
    assert AuditEntry.objects.get(action="blueprint.create").details["allow_ptrace"] is True
    refused = api.patch(f"/blueprints/{made['id']}", {"version": 1, "connect_ports": "6379"})
    assert refused[0] == 422 and "left4me itself" in str(refused[1])
