"""From nothing to a starting server: the checklist of the dashboard, the form, and the API."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from left4me.jobs import identity, transitions
from left4me.jobs.models import Job
from left4me.jobs.states import State
from left4me.testing.caller import Caller
from left4me.testing.cast import Cast
from left4me.testing.simulated_steam import SimulatedSteam
from overlays.models import Overlay
from servers import actions, first_steps
from servers.models import Blueprint, PlayersLink, Server, StarterBlueprint
from servers.tests.factories import make_blueprint, make_host, make_server, share

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_server")]

HTMX = {"HX-Request": "true"}


@pytest.fixture
def steam(settings, tmp_path, monkeypatch) -> Iterator[SimulatedSteam]:
    monkeypatch.setattr("workshop.steam._SECONDS_BETWEEN_CALLS", 0.0)
    monkeypatch.setattr("workshop.steam._BACK_OFF_SECONDS", (0.0, 0.0))
    with SimulatedSteam(tmp_path) as steam:
        settings.LEFT4ME_STEAM_API_URL = steam.url
        settings.LEFT4ME_STEAM_CONTENT_HOSTS = [".steamusercontent.com", steam.url]
        yield steam


@pytest.fixture
def press(client: Client, cast: Cast):
    """Submit the form as it is shown to the owner, changed by `changes`."""
    make_host()
    client.force_login(cast.owner)

    def press(**changes: str):
        form = client.get("/servers/new").context["form"]
        sent = {name: form[name].value() or "" for name in ("name", "host", "items", "config", "port")}
        first = form.fields["base"].choices[0][1][0][0]
        return client.post("/servers/new", {**sent, "base": first, **changes})

    return press


def claimable(host: str) -> list[str]:
    worker, now = identity.of_this_process(host), timezone.now()
    claimed = transitions.claim(host=host, worker=worker, limit=9, now=now, lease=timedelta(minutes=1))
    return [job.operation for job in claimed]


def test_the_form_as_it_is_shown_creates_and_starts_a_server(press, cast: Cast) -> None:
    template = StarterBlueprint.objects.filter(is_offered=True).first()
    assert template is not None
    response = press()
    server = Server.objects.get()
    assert response.url == server.get_absolute_url()
    assert (server.name, server.owner, server.desired_state) == ("anna’s server", cast.owner, "running")
    assert (server.blueprint.arguments, server.blueprint.config) == (template.arguments, template.config)
    assert Job.objects.get().operation == "start"
    press()
    assert Server.objects.filter(name="anna’s server (2)").exists()


def test_without_a_template_the_form_leads_to_a_blueprint(client: Client, cast: Cast) -> None:
    StarterBlueprint.objects.update(is_offered=False)
    client.force_login(cast.owner)
    assert "/blueprints/new" in client.get("/servers/new").content.decode()


def test_a_server_can_be_created_without_starting_it(press) -> None:
    press(create_only="yes", config="sv_pure 2")
    assert Server.objects.get().blueprint.config.endswith("\nsv_pure 2")
    assert not Job.objects.exists()


def test_the_first_campaign_is_chosen_in_the_form(press) -> None:
    press(start_map="c2m1_highway")
    assert "+map c2m1_highway" in Server.objects.get().blueprint.arguments


def test_pasted_items_become_an_overlay_whose_build_the_start_waits_for(press, steam: SimulatedSteam) -> None:
    steam.add(11, title="Helm's Deep")
    steam.add(12)
    steam.add(21)
    steam.collections[30] = [(12, 0)]
    press(items="11 https://steamcommunity.com/sharedfiles/filedetails/?id=30 404")
    server = Server.objects.get()
    (overlay,) = server.blueprint.layers
    assert (overlay.name, overlay.kind, overlay.owner) == (server.name, Overlay.Kind.WORKSHOP, server.owner)
    assert sorted(overlay.workshop_links.values_list("item__steam_id", flat=True)) == [11, 12]
    assert [collection.steam_id for collection in overlay.collections.all()] == [30]
    assert claimable(server.host.name) == ["build"]
    build = Job.objects.get(operation="build")
    transitions.finish(build, state=State.SUCCEEDED, now=timezone.now())
    assert claimable(server.host.name) == ["start"]


def test_on_another_host_the_start_waits_for_the_first_build_only(cast: Cast, settings, steam: SimulatedSteam) -> None:
    steam.add(11)
    other = make_host(name="other", first_port=28000, last_port=28010)
    server = actions.quick_start(
        user=cast.owner, name="far", base=make_blueprint(cast.owner), host=other, items="11", port=28000
    ).server
    (overlay,) = server.blueprint.layers
    start = Job.objects.get(operation="start")
    assert start.host == "other" and start.locks.filter(resource=overlay.resource, exclusive=False).exists()
    Overlay.objects.update(built_at=timezone.now())
    again = actions.request(server=server, operation="restart", by=cast.owner)
    assert not again.locks.filter(resource=overlay.resource).exists()


def test_a_blueprint_is_used_as_it_is_and_copied_where_something_is_added(press, cast: Cast, steam) -> None:
    blueprint = make_blueprint(cast.owner, name="Friday", arguments="-tickrate 60", config="sv_pure 1")
    press(base=f"blueprint-{blueprint.pk}", name="first")
    assert Server.objects.get(name="first").blueprint == blueprint
    steam.add(11)
    press(base=f"blueprint-{blueprint.pk}", name="second", items="11")
    copy = Server.objects.get(name="second").blueprint
    assert copy != blueprint and (copy.arguments, copy.config) == ("-tickrate 60", "sv_pure 1")
    assert (copy.name, len(copy.layers), len(blueprint.layers)) == ("second", 1, 0)


@pytest.mark.parametrize(
    ("changes", "field", "why"),
    [
        ({"items": "11\nhello"}, "items", "hello"),
        ({"items": "404"}, "items", "None of these items can be added"),
        ({"config": "sv_pure 2\nsay \x07", "items": "11"}, "config", "2"),
        ({"name": 'a"b', "items": "11"}, "name", "quotation"),
        ({"port": "80", "items": "11"}, "port", "27015"),
    ],
)
def test_a_refusal_creates_nothing_and_keeps_what_was_typed(press, steam, changes, field, why) -> None:
    steam.add(11)
    response = press(**changes)
    assert response.status_code == 422
    form = response.context["form"]
    assert why in str(form.errors[field]), form.errors
    assert form["items"].value() == changes.get("items", "")
    assert not (
        Server.objects.exists() or Blueprint.objects.exists() or Overlay.objects.filter(kind="workshop").exists()
    )
    assert not Job.objects.exists()


def test_steam_that_does_not_answer_is_named_and_nothing_is_created(press, settings) -> None:
    settings.LEFT4ME_STEAM_API_URL = "http://127.0.0.1:9"
    settings.LEFT4ME_STEAM_CONTENT_HOSTS = []
    response = press(items="11")
    assert "add them later" in str(response.context["form"].errors["items"])
    assert not Server.objects.exists()


def test_the_api_creates_from_a_template_and_starts(api: Caller, cast: Cast, steam: SimulatedSteam) -> None:
    make_host()
    api = api.by(cast.owner)
    template = api.get("/blueprints/templates")[1][0]
    steam.add(11)
    status, created = api.post(
        "/servers",
        {"name": "Friday", "template_id": template["id"], "items": "11 404", "config": ["sv_pure 2"], "start": True},
    )
    assert (status, created["job"]["operation"], list(created["refused_items"])) == (201, "start", ["404"])
    blueprint = Blueprint.objects.get(pk=created["blueprint_id"])
    assert blueprint.config == template["config"] + "\nsv_pure 2"


def test_the_api_wants_either_a_blueprint_or_a_template(api: Caller, cast: Cast) -> None:
    make_host()
    blueprint = make_blueprint(cast.owner)
    api = api.by(cast.owner)
    assert api.post("/servers", {"name": "x"})[0] == 422
    assert api.post("/servers", {"name": "x", "blueprint_id": blueprint.pk, "template_id": 1})[0] == 422
    assert api.post("/servers", {"name": "x", "template_id": 999})[0] == 422


# --- the checklist ----------------------------------------------------------------------------------------------


def test_the_checklist_leads_from_the_game_to_friends_and_goes_away_when_done(cast: Cast, client: Client) -> None:
    host, now = make_host(game_version=""), timezone.now()
    client.force_login(cast.admin)
    page = client.get("/").content.decode()
    assert "First steps" in page and 'value="install"' in page and "/servers/new" in page
    make_host(game_version="20300102T000000-100")
    assert 'value="install"' not in client.get("/first-steps", headers=HTMX).content.decode()
    server = make_server(cast.admin, host=host)
    assert f"/servers/{server.pk}/actions" in client.get("/").content.decode()
    Server.objects.update(started_at=now)
    assert f"/servers/{server.pk}/players-link" in client.get("/").content.decode()
    PlayersLink.objects.create(server=server)
    assert first_steps.of(cast.admin, now=now) is None
    assert "First steps" not in client.get("/").content.decode()
    answer = client.get("/first-steps", headers=HTMX)
    assert (answer.content, answer["HX-Reswap"]) == (b"", "delete")


def test_the_checklist_is_dismissed_in_this_browser(cast: Cast, client: Client) -> None:
    make_host()
    client.force_login(cast.owner)
    assert client.post("/first-steps", follow=True).context["first_steps"] is None
    assert "No servers yet" in client.get("/").content.decode()
    assert client.get("/first-steps").url == "/"


def test_the_checklist_is_not_shown_to_those_who_have_servers(cast: Cast) -> None:
    server, now = make_server(cast.owner), timezone.now()
    share(server, cast.viewer)
    assert first_steps.of(cast.viewer, now=now) is None
    assert first_steps.of(cast.stranger, now=now) is not None
    make_server(cast.owner)
    assert first_steps.of(cast.owner, now=now) is None


def test_those_who_have_servers_are_asked_about_no_step(cast, django_assert_num_queries):
    for number in range(2):
        make_server(cast.owner, name=f"server {number}")
    with django_assert_num_queries(1) as queries:
        assert first_steps.of(cast.owner, now=timezone.now()) is None
    assert "ORDER BY" not in queries[0]["sql"]
