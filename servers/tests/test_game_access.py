"""Admins of games: who they are, the file they become, and how running servers take it over."""

from __future__ import annotations

import re
import threading
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from django.core.exceptions import ValidationError
from django.utils import timezone

from accounts import actions as account_actions
from accounts.models import SteamSource
from left4me.audit.models import AuditEntry
from left4me.core.redis import hosts
from overlays import paths
from overlays.tests.factories import make_overlay
from servers import actions
from servers.game_access import admins_file, application, roster
from servers.gamehost import rcon
from servers.gamehost.spec import InstanceSpec
from servers.hosts import this_host
from servers.lifecycle import launch_plan
from servers.models import GameAccessState, GamePerson, Server
from servers.simulated.srcds import sourcemod
from servers.tests.factories import make_blueprint, make_server, share

GABEN = 76561197960287930
NOW = timezone.now()


@pytest.fixture
def sent(monkeypatch, django_capture_on_commit_callbacks) -> list[str]:
    messages: list[str] = []
    monkeypatch.setattr(hosts, "send", lambda host, task, *args, expires: messages.append(task) or True)
    return messages


@pytest.fixture
def server(cast, settings, tmp_path) -> Server:
    settings.LEFT4ME_ROOT = tmp_path
    overlay = make_overlay(name="SourceMod", owner=cast.owner)
    tree = paths.directory(overlay)
    (tree / "left4dead2/addons/sourcemod/plugins").mkdir(parents=True)
    blueprint = make_blueprint(cast.owner, overlays=[overlay])
    return make_server(cast.owner, blueprint=blueprint, actual_state="running", started_at=NOW)


def tree_of(server: Server) -> Path:
    return paths.directory(server.blueprint.layers[0])


def confirm(user, steam_id: int = GABEN, source: SteamSource = SteamSource.STEAM) -> None:
    account_actions.link_steam_id(user=user, steam_id=steam_id, source=source, by=None)


def entries(server: Server, now=None) -> dict[str, roster.Entry]:
    return {entry.name: entry for entry in roster.of_one(server, now=now or timezone.now()).entries}


def admins(server: Server) -> set[int | None]:
    return {entry.steam_id for entry in roster.of_one(server, now=timezone.now()).admins}


# --- who ---


def test_a_server_has_the_people_of_its_blueprint_and_its_own(cast, server):
    actions.set_person(of=server.blueprint, person="STEAM_1:0:11101", name="Gabe", by=cast.owner)
    actions.set_person(of=server, person="76561197960265729", name="Rob", role="moderator", immunity=5, by=cast.owner)
    found = entries(server)
    assert (found["Gabe"].source, found["Gabe"].flags) == ("blueprint", "z")
    assert (found["Rob"].source, found["Rob"].flags, found["Rob"].immunity) == ("server", "abcdefgjk", 5)


def test_the_row_of_the_server_replaces_that_of_the_blueprint_for_a_person(cast, server):
    actions.set_person(of=server.blueprint, person=str(GABEN), name="Gabe", by=cast.owner)
    actions.set_person(of=server, person=str(GABEN), name="Gabe", role="reserved", by=cast.owner)
    assert [(entry.source, entry.flags) for entry in roster.of_one(server, now=NOW).entries] == [("server", "a")]


def test_a_user_counts_with_a_confirmed_steam_id_while_the_server_is_shared(cast, server):
    actions.set_person(of=server.blueprint, person="vera", by=cast.owner)
    assert entries(server)["vera"].problem == "no_access"
    shared = share(server, cast.viewer)
    assert entries(server)["vera"].problem == "no_steam_id"
    confirm(cast.viewer, source=SteamSource.USER)
    assert entries(server)["vera"].problem == "not_confirmed"
    confirm(cast.viewer)
    assert admins(server) == {GABEN}
    shared.delete()
    assert admins(server) == set()


def test_a_deactivated_user_is_no_admin(cast, server):
    share(server, cast.viewer)
    confirm(cast.viewer)
    actions.set_person(of=server, person="vera", by=cast.owner)
    assert admins(server) == {GABEN}
    cast.viewer.is_active = False
    cast.viewer.save()
    assert entries(server)["vera"].problem == "deactivated"


def test_a_person_can_be_listed_until_a_moment(cast, server):
    actions.set_person(of=server, person=str(GABEN), by=cast.owner, until=timezone.now() + timedelta(hours=1))
    assert admins(server) == {GABEN}
    with time_machine.travel(timezone.now() + timedelta(hours=2)):
        assert admins(server) == set()


def test_the_owner_and_operators_are_admins_by_a_rule(cast, server):
    confirm(cast.owner)
    confirm(cast.operator, GABEN + 2)
    confirm(cast.viewer, GABEN + 4)
    share(server, cast.operator, "operator")
    share(server, cast.viewer)
    assert admins(server) == set()
    actions.set_rules(of=server.blueprint, by=cast.owner, team_are_admins=True)
    assert admins(server) == {GABEN, GABEN + 2}


def test_many_servers_cost_as_many_queries_as_one(cast, server, django_assert_num_queries):
    actions.set_person(of=server.blueprint, person=str(GABEN), by=cast.owner)
    others = [make_server(cast.owner, blueprint=server.blueprint) for _ in range(3)]
    with django_assert_num_queries(5):
        found = roster.of([server.pk, *(other.pk for other in others)], now=NOW)
    assert all(len(each.admins) == 1 for each in found.values())


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"person": "nobody"}, "person"),
        ({"person": ""}, "person"),
        ({"role": "custom"}, "flags"),
        ({"role": "custom", "flags": "xy"}, "flags"),
        ({"role": "emperor"}, "role"),
        ({"immunity": 100}, "immunity"),
        ({"until": NOW - timedelta(days=1)}, "until"),
    ],
)
def test_what_makes_no_sense_is_refused_at_its_field(cast, server, given, field):
    with pytest.raises(ValidationError) as refusal:
        actions.set_person(of=server, by=cast.owner, **{"person": str(GABEN), **given})
    assert field in refusal.value.message_dict


def test_listing_a_person_again_changes_the_row(cast, server):
    actions.set_person(of=server, person=str(GABEN), by=cast.owner)
    actions.set_person(of=server, person=str(GABEN), role="custom", flags="cdc", by=cast.owner)
    assert [(row.flags, row.granted_flags) for row in GamePerson.objects.all()] == [("cd", "cd")]
    entry = AuditEntry.objects.latest("pk")
    assert (entry.action, entry.target, entry.details["flags"]) == ("server.game_admin_set", server.resource, "cd")


# --- the file ---


def parsed(tmp_path: Path, text: str, monkeypatch) -> dict[str, str]:
    """What a game reads from the file, as SourceMod reads it."""
    file = tmp_path / "game" / admins_file.PATH
    file.parent.mkdir(parents=True)
    file.write_text(text)
    monkeypatch.chdir(tmp_path / "game")
    return sourcemod._read_admins()


HOSTILE = [
    'x"\n"STEAM_1:1:666" "z',
    "a" * 300 + '"STEAM_1:1:666" "z"',
    '// \r"STEAM_1:1:666" "z"',
    '\u2028"STEAM_1:1:666" "z"',
    "名" * 200 + '\n"STEAM_1:1:666" "z"',
    'back\\slash" ; "STEAM_1:1:666" "99:z"',
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_adds_no_admin(tmp_path, monkeypatch, name):
    entry = roster.Entry(source="server", name=name, steam_id=GABEN, role="admin", flags="bc", immunity=7)
    text = admins_file.render([entry], below="")
    assert parsed(tmp_path, text, monkeypatch) == {"0:11101": "7:bc"}
    assert all(len(line.encode()) < 255 for line in text.splitlines())


def test_the_admins_of_an_overlays_file_stay_and_the_list_counts_for_those_in_both(tmp_path, monkeypatch):
    below = '// ours\n"STEAM_0:1:16" "bce" // kick\n"STEAM_0:0:11101" "z"\n'
    entry = roster.Entry(source="server", name="Gabe", steam_id=GABEN, role="reserved", flags="a")
    text = admins_file.render([entry], below=below)
    assert parsed(tmp_path, text, monkeypatch) == {"0:11101": "a", "1:16": "bce"}


def plan(server: Server, tmp_path: Path) -> InstanceSpec:
    layers = server.blueprint.layers
    places = launch_plan.HostPaths(
        game=tmp_path, overlays={layer.pk: paths.directory(layer) for layer in layers}, cache=tmp_path
    )
    return launch_plan.compose(server, layers=layers, places=places, game_version="1").spec


def test_a_start_brings_the_file_where_sourcemod_is(cast, server, tmp_path):
    actions.set_person(of=server, person=str(GABEN), name="Gabe", by=cast.owner)
    text = plan(server, tmp_path).replaceable[admins_file.PATH]
    assert '// Gabe (server)\n"STEAM_1:0:11101" "z"\n' in text
    plain = make_server(cast.owner)
    actions.set_person(of=plain, person=str(GABEN), by=cast.owner)
    assert admins_file.PATH not in plan(plain, tmp_path).replaceable


def test_reserved_slots_are_set_where_the_plugin_is(cast, server, tmp_path):
    actions.set_rules(of=server, by=cast.owner, reserved_slots=2)
    cfg = "left4dead2/cfg/server.cfg"
    assert "sm_reserved_slots" not in plan(server, tmp_path).generated[cfg]
    (tree_of(server) / "left4dead2/addons/sourcemod/plugins/reservedslots.smx").touch()
    assert "\nsm_reserved_slots 2\nrcon_password" in plan(server, tmp_path).generated[cfg]


# --- running servers ---


class Game:
    """What the game is told, and what it answers."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.answer: str | Exception = "[SM] Admin cache has been refreshed.\n"

    def execute(self, _host, _port, _password, command, *, timeout, **_options):
        self.told.append(command)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def game(monkeypatch, server, tmp_path) -> Game:
    game = Game()
    monkeypatch.setattr(rcon, "execute", game.execute)
    directory = this_host.storage().of(server.pk)
    directory.prepare()
    directory.note_layers([str(tree_of(server))])
    directory.write_replaceable(plan(server, tmp_path).replaceable)
    return game


def apply(server: Server) -> tuple[str, str]:
    """Apply what changed; the result, and the file as the game now reads it."""
    application.apply(server.host.name, now=timezone.now())
    state = GameAccessState.objects.filter(server=server).first()
    file = this_host.storage().of(server.pk).replaceable / admins_file.PATH
    return (state.result if state else "", file.read_text() if file.exists() else "")


def test_a_running_server_takes_over_a_change_once(cast, server, game):
    assert apply(server)[0] == ""
    actions.set_person(of=server.blueprint, person=str(GABEN), by=cast.owner)
    result, text = apply(server)
    assert result == "applied"
    assert "STEAM_1:0:11101" in text
    apply(server)
    assert game.told == ["sm_reloadadmins"]


def test_a_lost_share_is_removed_from_a_running_server(cast, server, game):
    shared = share(server, cast.viewer)
    confirm(cast.viewer)
    actions.set_person(of=server, person="vera", by=cast.owner)
    assert "STEAM_1:0:11101" in apply(server)[1]
    actions.revoke(share=shared, by=cast.owner)
    assert "STEAM_1:0:11101" not in apply(server)[1]
    assert game.told == ["sm_reloadadmins"] * 2


def test_the_last_person_is_removed_from_a_running_server(cast, server, game):
    row = actions.set_person(of=server, person=str(GABEN), by=cast.owner)
    apply(server)
    actions.remove_person(row=row, by=cast.owner)
    result, text = apply(server)
    assert result == "applied"
    assert "STEAM" not in text


def test_a_game_without_sourcemod_is_said_to_be(cast, server, game):
    game.answer = 'Unknown command "sm_reloadadmins"\n'
    actions.set_person(of=server, person=str(GABEN), by=cast.owner)
    assert apply(server)[0] == "no_sourcemod"


def test_a_game_that_was_started_by_an_older_release_says_when_it_takes_effect(cast, server, game):
    actions.set_person(of=server, person=str(GABEN), by=cast.owner)
    (this_host.storage().of(server.pk).replaceable / admins_file.PATH).unlink()
    assert apply(server)[0] == "restart"
    assert game.told == []


def test_a_game_that_does_not_answer_is_told_again_later(cast, server, game):
    game.answer = rcon.TimedOut("No answer.", sent=True)
    actions.set_person(of=server, person=str(GABEN), by=cast.owner)
    assert apply(server)[0] == "failed"
    apply(server)
    assert len(game.told) == 1
    game.answer = "[SM] Admin cache has been refreshed."
    with time_machine.travel(timezone.now() + timedelta(minutes=1)):
        assert apply(server)[0] == "applied"


def another_running(server, tmp_path):
    """A second running game of the server's owner and blueprint."""
    other = make_server(server.owner, blueprint=server.blueprint, actual_state="running", started_at=NOW)
    directory = this_host.storage().of(other.pk)
    directory.prepare()
    directory.note_layers([str(tree_of(server))])
    directory.write_replaceable(plan(other, tmp_path).replaceable)
    return other


def test_games_are_told_side_by_side(cast, server, game, monkeypatch, tmp_path):
    other = another_running(server, tmp_path)
    both = threading.Barrier(2, timeout=20)

    def execute(*given, timeout, **_options):
        # Neither is answered before both have been asked.
        both.wait()
        return game.answer

    monkeypatch.setattr(rcon, "execute", execute)
    actions.set_person(of=server.blueprint, person=str(GABEN), by=cast.owner)
    apply(server)
    assert set(GameAccessState.objects.values_list("server", "result")) == {
        (server.pk, "applied"),
        (other.pk, "applied"),
    }


def test_a_game_that_cannot_be_told_does_not_keep_the_others_from_it(cast, server, game, monkeypatch, tmp_path):
    another_running(server, tmp_path)
    answers = iter([ValueError("broken"), game.answer])

    def execute(*given, timeout, **_options):
        answer = next(answers)
        if isinstance(answer, ValueError):
            raise answer
        return answer

    monkeypatch.setattr(rcon, "execute", execute)
    monkeypatch.setattr("servers.game_access.application._MOST_AT_ONCE", 1)
    actions.set_person(of=server.blueprint, person=str(GABEN), by=cast.owner)
    apply(server)
    results = GameAccessState.objects.order_by("result").values_list("result", "detail")
    assert list(results)[1] == ("failed", "broken")
    assert next(iter(results))[0] == "applied"


def test_a_new_start_is_told_once_more(cast, server, game):
    actions.set_person(of=server, person=str(GABEN), by=cast.owner)
    apply(server)
    Server.objects.update(started_at=timezone.now())
    apply(server)
    assert game.told == ["sm_reloadadmins"] * 2


def test_hosts_are_asked_at_once_after_a_change(cast, server, sent, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        actions.set_person(of=server.blueprint, person=str(GABEN), by=cast.owner)
    assert sent == [application.TASK]


# --- pages and API ---


def test_the_page_shows_who_is_admin_and_where_it_comes_from(cast, server, client):
    client.force_login(cast.owner)
    client.post(
        f"/blueprints/{server.blueprint_id}/admins",
        {"person": str(GABEN), "name": "Gabe", "role": "admin", "immunity": 1},
    )
    client.post(f"/servers/{server.pk}/admins", {"rules": 1, "whitelist": "on", "reserved_slots": 0})
    page = client.get(f"/servers/{server.pk}/admins").content.decode()
    assert "Running servers take it over within seconds." in page
    assert "Gabe" in page
    assert "Blueprint" in page
    assert "Only listed people may join." in page
    row = GamePerson.objects.get()
    client.post(f"/blueprints/{server.blueprint_id}/admins/{row.pk}/remove")
    assert "nobody can play here" in client.get(f"/servers/{server.pk}/admins").content.decode()


@pytest.mark.parametrize("place", ["server", "blueprint"])
def test_a_person_of_a_list_is_edited_in_place(cast, server, client, place):
    of = server if place == "server" else server.blueprint
    row = actions.set_person(of=of, person=str(GABEN), name="Gabe", role="custom", flags="ce", by=cast.owner)
    client.force_login(cast.owner)
    at = f"/{place}s/{of.pk}/admins/{row.pk}"
    assert f'href="{at}"' in client.get(f"/{place}s/{of.pk}/admins").content.decode()
    page = client.get(at).content.decode()
    assert 'value="Gabe"' in page
    assert re.findall('name="flags" value="(.)"[^>]* checked', page) == ["c", "e"]
    assert "Username or Steam ID" not in page
    wrong = client.post(at, {"name": "Gabe", "role": "custom", "flags": "c", "immunity": 100})
    assert wrong.status_code == 422
    assert "Immunity is a number from 0 to 99." in wrong.content.decode()
    saved = client.post(at, {"name": "Gabe N.", "role": "moderator", "immunity": 7})
    assert saved["Location"] == f"/{place}s/{of.pk}/admins"
    row.refresh_from_db()
    assert (row.steam_id, row.name, row.role, row.flags, row.immunity) == (GABEN, "Gabe N.", "moderator", "", 7)
    client.force_login(cast.stranger)
    assert client.get(at).status_code == 404


def test_a_user_on_the_list_has_their_own_name(cast, server, client):
    row = actions.set_person(of=server, person="vera", by=cast.owner)
    client.force_login(cast.owner)
    page = client.get(f"/servers/{server.pk}/admins/{row.pk}").content.decode()
    assert "Rights of vera" in page
    assert 'name="name"' not in page


def test_an_end_that_has_passed_stays_with_another_change(cast, server):
    row = actions.set_person(of=server, person=str(GABEN), by=cast.owner, until=timezone.now() + timedelta(hours=1))
    with time_machine.travel(timezone.now() + timedelta(hours=2)):
        actions.change_person(row=row, by=cast.owner, role="reserved", immunity=0, until=row.until)
        assert entries(server)[""].problem == "expired"


def test_the_page_says_when_sourcemod_is_missing(cast, client):
    client.force_login(cast.owner)
    page = client.get(f"/servers/{make_server(cast.owner).pk}/admins").content.decode()
    assert "None of the overlays contains SourceMod." in page


def test_a_mistake_is_shown_at_the_form(cast, server, client):
    client.force_login(cast.owner)
    page = client.post(f"/servers/{server.pk}/admins", {"person": "nobody", "role": "admin", "immunity": 0})
    assert page.status_code == 422
    assert "not a Steam ID" in page.content.decode()


def test_the_api_lists_changes_and_removes(cast, server, client):
    client.force_login(cast.owner)
    at = f"/api/v1/servers/{server.pk}/admins"
    made = client.post(at, {"person": "STEAM_1:0:11101", "name": "Gabe"}, content_type="application/json")
    assert made.status_code == 201
    assert made.json()["steam_id"] == str(GABEN)
    rules = client.patch(
        f"/api/v1/blueprints/{server.blueprint_id}/game-access", {"reserved_slots": 3}, content_type="application/json"
    )
    assert rules.json() == {"team_are_admins": False, "whitelist": False, "reserved_slots": 3}
    found = client.get(at).json()
    assert (found["count"], found["items"][0]["source"], found["rules"]["reserved_slots"]) == (1, "server", 3)
    assert client.get(f"{at}/own").json()["count"] == 1
    assert client.delete(f"{at}/{made.json()['id']}").status_code == 204
    assert client.get(at).json()["count"] == 0
    refused = client.post(at, {"person": "nobody"}, content_type="application/json")
    assert refused.status_code == 422


@pytest.mark.parametrize("place", ["server", "blueprint"])
def test_the_api_changes_what_is_given_and_keeps_the_rest(cast, server, api, place):
    of = server if place == "server" else server.blueprint
    end = timezone.now() + timedelta(days=1)
    row = actions.set_person(of=of, person=str(GABEN), by=cast.owner, name="Gabe", role="reserved", until=end)
    owner, at = api.by(cast.owner), f"/{place}s/{of.pk}/admins/{row.pk}"
    status, changed = owner.patch(at, {"immunity": 7, "role": None})
    assert (status, changed["name"], changed["role"], changed["immunity"]) == (200, "Gabe", "reserved", 7)
    assert changed["until"] is not None
    assert owner.patch(at, {"until": None})[1]["until"] is None
    assert owner.patch(at, {"role": "custom"})[0] == 422
    assert owner.patch(f"/{place}s/{of.pk}/admins/{row.pk + 1}", {"immunity": 7})[0] == 404
    assert api.by(cast.stranger).patch(at, {"immunity": 7})[0] == 404
