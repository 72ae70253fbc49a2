"""The identity of servers: a form over lines, names from a pattern, texts, and what running games take over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from django.utils import timezone

from left4me.audit.models import AuditEntry
from left4me.core.redis import hosts
from left4me.testing.cast import Cast
from overlays import paths
from overlays.tests.factories import make_overlay
from servers.actions import blueprints, deletions, servers
from servers.actions import identity as actions
from servers.actions.refusals import Stale
from servers.gamehost import rcon
from servers.hosts import this_host
from servers.identity import hostnames, lines, live, overview
from servers.lifecycle import launch_plan, pending_changes
from servers.models import Blueprint, DeletedServer, Server
from servers.tests.factories import make_blueprint, make_server

CONFIG = (
    "// Our servers\r\n"
    "\r\n"
    "sv_pure 2; sv_region 3 // Europe\r\n"
    '\thostname "Friday"   // the name\r\n'
    "SV_TAGS coop,fun\r\n"
    "sv_steamgroup_exclusive 1"
)


# --- lines ---


def test_values_are_read_from_lines_as_the_game_reads_them():
    assert lines.values(CONFIG) == {
        "sv_region": "3",
        "hostname": "Friday",
        "sv_tags": "coop,fun",
        "sv_steamgroup_exclusive": "1",
    }
    assert lines.values('\ufeffhostname Our old server\nhostname ""\n# sv_tags x\nsv_tags') == {
        "hostname": "Our old server"
    }
    assert lines.values("sv_region 1\nsv_region 3") == {"sv_region": "3"}


@pytest.mark.parametrize(
    ("changes", "before", "after"),
    [
        ({"hostname": "Friday #{n}"}, '"Friday"', '"Friday #{n}"'),
        ({"sv_region": "255"}, "sv_region 3", "sv_region 255"),
        ({"sv_tags": "a b"}, "coop,fun", '"a b"'),
        ({"sv_region": None}, "sv_pure 2; sv_region 3 //", "sv_pure 2 //"),
        ({"hostname": None}, '\thostname "Friday"   // the', "\t// the"),
        ({"sv_tags": None}, "SV_TAGS coop,fun\r\n", ""),
        ({"sv_steamgroup_exclusive": None}, "\r\nsv_steamgroup_exclusive 1", ""),
        ({"sv_contact": "a@b.c"}, "exclusive 1", 'exclusive 1\r\nsv_contact "a@b.c"'),
    ],
)
def test_an_edit_changes_one_command_and_leaves_the_rest_to_the_byte(changes, before, after):
    assert CONFIG.count(before) == 1
    assert lines.edit(CONFIG, changes) == CONFIG.replace(before, after)


def test_of_several_commands_the_last_one_is_changed_and_all_are_removed():
    text = "sv_tags a\nsv_tags b; sv_tags c\nexec more\n"
    assert lines.edit(text, {"sv_tags": "d"}) == "sv_tags a\nsv_tags b; sv_tags d\nexec more\n"
    assert lines.edit(text, {"sv_tags": None}) == "exec more\n"
    assert lines.edit("sv_tags a; exec more; sv_tags b", {"sv_tags": None}) == "exec more"
    assert lines.edit("", {"sv_tags": "a"}) == 'sv_tags "a"'
    assert lines.edit("exec more\n", {"sv_tags": "a"}) == 'exec more\nsv_tags "a"\n'


@pytest.mark.parametrize(
    "text", [CONFIG, 'hostname "open', "a;;sv_tags x;;b", "sv_tags x//y", "\ufeffsv_tags x\r\r\n;"]
)
def test_what_was_set_is_read_back_and_what_was_removed_is_gone(text):
    wanted = {"hostname": "It's // a; {name}", "sv_tags": "é", "sv_region": "7"}
    edited = lines.edit(text, wanted)
    assert lines.values(edited).items() >= wanted.items()
    assert not lines.values(lines.edit(edited, dict.fromkeys(lines.values(edited)))).keys()


# --- names ---


def test_a_pattern_takes_name_and_number_once():
    assert hostnames.fill("{name} #{n} {x}", name="The {n}", number=3) == "The {n} #3 {x}"
    assert len(hostnames.fill("é{name}" * 60, name="ü" * 64, number=1).encode()) <= 500


def test_each_server_starts_with_its_own_name_whatever_its_name_is(cast: Cast):
    config = "hostname {name} #{n}; sv_pure 2"
    blueprint = make_blueprint(cast.owner, config=config, arguments='+hostname "old {n}"')
    for name in ("One; quit", "Two // {n}"):
        make_server(cast.owner, name=name, blueprint=blueprint)
    texts = []
    for server in Server.objects.order_by("pk"):
        plan = launch_plan.compose(
            server,
            layers=[],
            places=launch_plan.HostPaths(game=Path("/game"), overlays={}, cache=Path("/cache")),
            game_version="1",
        )
        texts.append(plan.spec.generated["left4dead2/cfg/server.cfg"].splitlines())
        assert f'hostname "{plan.applied["identity"]["hostname"]}"; sv_pure 2' in texts[-1]
    assert 'hostname "One; quit #1"; sv_pure 2' in texts[0]
    assert 'hostname "Two // {n} #2"; sv_pure 2' in texts[1]
    assert 'hostname "old 2"' in texts[1]


def test_a_number_stays_with_its_server_and_a_new_one_gets_the_lowest_free(cast: Cast):
    blueprint, other = make_blueprint(cast.owner), make_blueprint(cast.owner)
    first, second = (make_server(cast.owner, blueprint=blueprint) for _ in range(2))
    assert (first.number, second.number) == (1, 2)
    first = servers.update_server(server=first, seen_version=1, by=cast.owner, blueprint=other)
    assert first.number == 1
    second.refresh_from_db()
    assert second.number == 2
    third = make_server(cast.owner, blueprint=blueprint)
    first = servers.update_server(server=first, seen_version=2, by=cast.owner, blueprint=blueprint)
    assert (third.number, first.number) == (1, 3)


def test_a_restored_server_has_its_old_number_if_it_is_free(cast: Cast, db):
    blueprint = make_blueprint(cast.owner)
    make_server(cast.owner, blueprint=blueprint)
    second = make_server(cast.owner, blueprint=blueprint)
    make_server(cast.owner, blueprint=blueprint)
    DeletedServer.remember(second, now=timezone.now())
    second.delete()
    restored = deletions.restore_server(deleted=DeletedServer.objects.get(), by=cast.owner)
    assert restored.number == 2


# --- saving ---


@pytest.fixture
def blueprint(cast: Cast) -> Blueprint:
    return make_blueprint(cast.owner, name="Friday", config=CONFIG)


def save(blueprint: Blueprint, by, *, motd: str | None = None, **settings: str | None) -> Blueprint:
    row = Blueprint.objects.with_layers().get(pk=blueprint.pk)
    texts = {} if motd is None else {"motd": motd}
    return actions.save(blueprint=row, seen_version=row.version, by=by, settings=settings, texts=texts)


def test_saving_makes_a_version_with_the_edited_lines_and_says_who_did_it(cast: Cast, blueprint: Blueprint):
    saved = save(blueprint, cast.owner, sv_region="1", motd="Hello\r\nyou ")
    assert (saved.config, saved.motd) == (CONFIG.replace("region 3", "region 1"), "Hello\nyou")
    assert [version.content["motd"] for version in saved.versions.all()] == ["Hello\nyou", ""]
    entry = AuditEntry.objects.get(action="blueprint.identity")
    assert entry.details["values"] == "sv_region 1, motd.txt"
    assert save(saved, cast.owner, sv_region="1", motd="Hello\nyou").version == saved.version
    restored, _left_out = blueprints.restore_version(blueprint=saved, number=1, by=cast.owner)
    assert (restored.config, restored.motd) == (CONFIG, "")


@pytest.mark.parametrize(
    "given",
    [
        {"sv_region": "9"},
        {"hostname": 'a"; quit'},
        {"sv_steamgroup": "our group"},
        {"sv_steamgroup": "99999999999"},
        {"sv_tags": "é" * 64},
        {"rcon_password": "x"},
        {"motd": "a" * 2048},
        {"motd": "http://example.org and more"},
        {"motd": "a\x00"},
    ],
)
def test_what_the_game_would_not_take_is_refused(cast: Cast, blueprint: Blueprint, given):
    with pytest.raises(ValidationError) as fault:
        save(blueprint, cast.owner, **given)
    assert set(fault.value.error_dict) == set(given)
    blueprint.refresh_from_db()
    assert blueprint.config == CONFIG


def test_an_edit_of_the_lines_in_between_is_not_overwritten(cast: Cast, blueprint: Blueprint):
    row = Blueprint.objects.get(pk=blueprint.pk)
    blueprints.update_blueprint(blueprint=row, seen_version=1, by=cast.owner, config="sv_pure 1")
    with pytest.raises(Stale):
        actions.save(blueprint=row, seen_version=1, by=cast.owner, settings={"sv_region": "1"}, texts={})
    blueprint.refresh_from_db()
    assert blueprint.config == "sv_pure 1"


def test_the_number_of_a_group_is_taken_from_its_steam_id(cast: Cast, blueprint: Blueprint):
    saved = save(blueprint, cast.owner, sv_steamgroup="103582791429521409, 42")
    assert lines.values(saved.config)["sv_steamgroup"] == "1,42"


def test_what_the_form_cannot_express_is_said(cast: Cast):
    text = "sv_tags a\nsm_cvar sv_region 3\nexec more\nsv_tags b\nmotdfile ours.txt\nexec banned_user.cfg"
    row = make_blueprint(cast.owner, config=text, motd="<p>ä</p>")
    notes = "\n".join(overview.notes(Blueprint.objects.with_layers().get(pk=row.pk)))
    for part in ("Line 1: sv_tags is set again in line 4", "Line 2: sm_cvar", "Line 3", "“more”", "Line 5", "charset"):
        assert part in notes
    assert "banned_user" not in notes


def test_an_overlay_that_has_the_game_read_another_file_is_said(cast: Cast):
    overlay = make_overlay(name="Pack", expose_cfg=True)
    path = paths.directory(overlay) / paths.CFG
    path.parent.mkdir(parents=True)
    path.write_text('motdfile "mymotd.txt"  // survives updates\nhostfile host.txt\n')

    def notes(**fields: Any) -> str:
        row = make_blueprint(cast.owner, overlays=[overlay], **fields)
        return "\n".join(overview.notes(Blueprint.objects.with_layers().get(pk=row.pk)))

    assert "“Pack” makes the game read “mymotd.txt”" in notes(motd="Welcome", banner="Ours")
    assert notes() == "", "without a text there is nothing that players would miss"
    assert notes(motd="Welcome", config="motdfile motd.txt") == ""


def test_values_of_overlays_and_arguments_are_shown_where_the_lines_have_none(cast: Cast, client: Client):
    overlay = make_overlay(name="Base", expose_cfg=True)
    path = paths.directory(overlay) / paths.CFG
    path.parent.mkdir(parents=True)
    path.write_text("sv_region 4\nhostname Base\n")
    row = make_blueprint(cast.owner, overlays=[overlay], arguments='+sv_region 1\n+sv_contact "a@b.c"')
    server = make_server(cast.owner, blueprint=row)
    found = overview.inherited(Blueprint.objects.with_layers().get(pk=row.pk))
    assert (found["sv_region"].value, found["sv_region"].source) == ("4", "Base")
    assert (found["sv_contact"].value, found["sv_contact"].source) == ("a@b.c", "launch arguments")
    assert overview.named(row, [server])[0].hostname == "Base"
    client.force_login(cast.owner)
    page = client.get(f"/blueprints/{row.pk}/identity").content.decode()
    assert "Asia (Base)" in page


# --- page and API ---


def form_of(client: Client, row: Blueprint) -> dict[str, str]:
    form = client.get(f"/blueprints/{row.pk}/identity").context["form"]
    return {name: form[name].value() or "" for name in form.fields}


def test_the_page_shows_the_lines_as_a_form_and_saves_what_differs(cast: Cast, blueprint: Blueprint, client: Client):
    make_server(cast.owner, name="Versus", blueprint=blueprint)
    Blueprint.objects.filter(pk=blueprint.pk).update(config=CONFIG.replace("sv_region 3", "sv_region 42"))
    client.force_login(cast.owner)
    url = f"/blueprints/{blueprint.pk}/identity"
    given = form_of(client, blueprint)
    assert (given["hostname"], given["sv_region"]) == ("Friday", "42")
    assert client.post(url, given | {"sv_steamgroup": "us"}).status_code == 422
    assert client.post(url, given | {"hostname": "{name} #{n}", "banner": "<b>Hi</b>"}).status_code == 302
    blueprint.refresh_from_db()
    assert blueprint.config == CONFIG.replace("sv_region 3", "sv_region 42").replace('"Friday"', '"{name} #{n}"')
    assert "Versus #1" in client.get(url).content.decode()
    assert client.post(url, given | {"hostname": "x"}).status_code == 409


def test_a_preview_is_no_page_of_our_origin(cast: Cast, blueprint: Blueprint, client: Client):
    client.force_login(cast.owner)
    address = f"/blueprints/{blueprint.pk}/identity/motd"
    page = client.post(address, {"motd": "<script>alert(1)</script>"})
    policy = page["Content-Security-Policy"]
    assert page["Content-Type"].startswith("text/html")
    assert "sandbox" in policy.split("; ")
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert page["X-Frame-Options"] == "SAMEORIGIN"
    for text in ("http://example.org/motd", "Hello <b>you</b>"):
        page = client.post(address, {"motd": text})
        assert page["Content-Type"].startswith("text/plain")
        assert page.content.decode() == text
    assert "frame-src 'self'" in client.get(f"/blueprints/{blueprint.pk}/identity")["Content-Security-Policy"]


def test_the_api_reads_and_changes_the_identity(cast: Cast, blueprint: Blueprint, client: Client):
    server = make_server(cast.owner, name="Versus", blueprint=blueprint)
    client.force_login(cast.owner)
    url = f"/api/v1/blueprints/{blueprint.pk}/identity"
    found = client.get(url).json()
    assert (found["settings"]["hostname"], found["settings"]["sv_search_key"]) == ("Friday", None)
    given = {"version": 1, "settings": {"hostname": "{name} {n}", "sv_tags": None}, "banner": "Hi"}
    answer = client.patch(url, json.dumps(given), "application/json")
    assert answer.status_code == 200
    changed = answer.json()
    assert (changed["settings"]["sv_tags"], changed["banner"], changed["version"]) == (None, "Hi", 2)
    shown = {"id": server.pk, "name": "Versus", "number": 1, "hostname": "Versus 1"}
    assert changed["servers"] == [{**shown, "is_cut": False, "is_applied": None, "texts_wait": False}]
    assert client.patch(url, json.dumps(given), "application/json").status_code == 409
    bad = {"version": 2, "settings": {"sv_region": "x"}}
    assert client.patch(url, json.dumps(bad), "application/json").status_code == 422
    assert client.post(f"{url}/apply").status_code == 204


# --- running games ---


class Game:
    """A game that executes the file of live values, and shows what it has."""

    def __init__(self, file: Path, **values: str) -> None:
        self.file, self.values, self.told = file, values, []

    def execute(self, _host, _port, _password, command, *, timeout, **_options):
        self.told.append(command)
        if command == "exec left4me_live":
            self.values |= lines.values(self.file.read_text())
            return ""
        return "".join(f'"{name}" = "{self.values.get(name, "")}"\n' for name in command.split("; "))


@pytest.fixture
def running(cast: Cast, blueprint: Blueprint) -> Server:
    """A server that runs with the present lines and has no texts."""
    make_server(cast.owner, name="Versus", blueprint=blueprint, actual_state=Server.State.RUNNING)
    server = Server.objects.with_blueprint().get()
    directory = this_host.storage().of(server.pk)
    directory.prepare()
    places = launch_plan.HostPaths(game=Path("/game"), overlays={}, cache=Path("/cache"))
    plan = launch_plan.compose(server, layers=[], places=places, game_version="1")
    assert "exec left4me_live" in plan.spec.generated["left4dead2/cfg/server.cfg"]
    directory.write_spec(plan.spec)
    launch_plan.record_start(server, plan, now=timezone.now())
    return server


@pytest.fixture
def game(running: Server, monkeypatch) -> Game:
    game = Game(this_host.storage().of(running.pk).replaceable / live.LIVE_CFG)
    monkeypatch.setattr(rcon, "execute", game.execute)
    return game


def fresh(server: Server) -> Server:
    return Server.objects.with_blueprint().get(pk=server.pk)


def test_a_running_game_takes_new_values_over_and_keeps_them_at_its_next_map(cast: Cast, running: Server, game: Game):
    save(running.blueprint, cast.owner, hostname="{name} #{n}", sv_contact="a@b.c")
    assert pending_changes.restart_needed(fresh(running))
    live.apply(running.pk)
    assert game.values == {"hostname": "Versus #1", "sv_contact": "a@b.c"}
    assert not pending_changes.restart_needed(fresh(running))
    assert overview.named(running.blueprint, [fresh(running)])[0].is_applied is False
    assert overview.named(fresh(running).blueprint, [fresh(running)])[0].is_applied
    # The value of the start comes back, too.
    save(running.blueprint, cast.owner, hostname="Friday")
    live.apply(running.pk)
    assert game.values["hostname"] == "Friday"
    assert 'sv_contact "a@b.c"' in game.file.read_text()
    assert not pending_changes.restart_needed(fresh(running))
    told = len(game.told)
    live.apply(running.pk)
    assert len(game.told) == told


def test_what_a_game_did_not_take_over_applies_at_its_next_start(cast: Cast, running: Server, game: Game, monkeypatch):
    save(running.blueprint, cast.owner, sv_region="1", sv_tags=None)
    live.apply(running.pk)
    changes = [(change.before, change.after) for change in pending_changes.pending(fresh(running))]
    assert changes == [('sv_tags "coop,fun"', "")]

    def silent(*_args, **_values):
        raise rcon.TimedOut("No answer.", sent=True)

    monkeypatch.setattr(rcon, "execute", silent)
    save(running.blueprint, cast.owner, sv_region="2")
    live.apply(running.pk)
    assert 'sv_region "1"' in [change.before for change in pending_changes.pending(fresh(running))]


def test_a_renamed_server_is_told_its_new_name(cast: Cast, running: Server, game: Game):
    save(running.blueprint, cast.owner, hostname="{name}!")
    live.apply(running.pk)
    servers.update_server(server=fresh(running), seen_version=1, by=cast.owner, name="Coop")
    live.apply(running.pk)
    assert game.values["hostname"] == "Coop!"
    assert not pending_changes.restart_needed(fresh(running))


def test_a_save_tells_the_hosts_of_running_games(
    cast: Cast, running: Server, monkeypatch, django_capture_on_commit_callbacks
):
    sent: list[tuple[object, ...]] = []
    monkeypatch.setattr(hosts, "send", lambda *given, expires: sent.append(given) or True)
    make_server(cast.owner, blueprint=running.blueprint)
    with django_capture_on_commit_callbacks(execute=True):
        save(running.blueprint, cast.owner, sv_region="1")
    assert sent == [(running.host.name, live.TASK, running.pk)]


def test_the_first_text_needs_a_start_and_later_ones_the_next_map(cast: Cast, running: Server, game: Game):
    save(running.blueprint, cast.owner, motd="Hello")
    live.apply(running.pk)
    assert [(change.area, change.after) for change in pending_changes.pending(fresh(running))] == [
        ("texts", "motd.txt")
    ]
    shown = overview.named(fresh(running).blueprint, [fresh(running)])[0]
    assert (shown.is_applied, shown.texts_wait) == (True, True)
    part = live.for_start(fresh(running), [])
    assert {part.replaceable[f"left4dead2/{path}"] for path in ("motd.txt", "cfg/motd.txt")} == {"Hello"}
    directory = this_host.storage().of(running.pk)
    directory.write_replaceable(part.replaceable)
    Server.objects.update(applied=pending_changes.current(fresh(running)))
    save(running.blueprint, cast.owner, motd="http://example.org/motd")
    live.apply(running.pk)
    assert (directory.replaceable / "left4dead2/motd.txt").read_text() == "http://example.org/motd"
    assert not pending_changes.restart_needed(fresh(running))


def test_a_game_that_an_older_release_started_keeps_its_lines_until_its_next_start(
    cast: Cast, running: Server, game: Game
):
    old = {**running.applied, "config": launch_plan.effective_lines(CONFIG)}
    Server.objects.update(applied={name: value for name, value in old.items() if name not in ("identity", "texts")})
    assert not pending_changes.restart_needed(fresh(running))
    game.file.unlink()
    save(running.blueprint, cast.owner, sv_region="1")
    live.apply(running.pk)
    assert game.told == []
    assert pending_changes.restart_needed(fresh(running))
