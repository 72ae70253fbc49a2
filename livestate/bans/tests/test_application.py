"""Bans on their way into games: the simulated one, and games that do not answer or do not obey."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from django.utils import timezone

from left4me.core.steam_ids import BASE as STEAM_ID_64_BASE
from livestate.bans import adoption, application, start_files
from livestate.bans.models import AppliedBans, Ban, BanList, Subscription
from livestate.bans.tests.factories import make_ban, make_list
from livestate.status import parse_status
from livestate.tests.answers import Person, status_text
from livestate.tests.factories import make_session
from servers.gamehost.rcon import guard
from servers.gamehost.tests.rcon.scripted import PASSWORD, Quirks, ScriptedServer
from servers.hosts import this_host
from servers.models import Server
from servers.simulated import harness
from servers.tests.factories import make_host, make_server

pytestmark = pytest.mark.django_db

EMPTY = b"ID filter list: empty\nIP filter list: empty\n"


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    guard.forget_all()
    yield
    guard.forget_all()


@pytest.fixture(scope="module")
def _running(tmp_path_factory):
    with harness.running(tmp_path_factory.mktemp("game")) as sim:
        yield sim


@pytest.fixture
def game(_running) -> harness.Sim:
    """One game for all tests of the module, without bans and players."""
    _running.rcon("sim_speed 1;sim_players 0;sv_lan 0")
    for line in _running.rcon("listid").splitlines()[1:]:
        _running.rcon(f"removeid {line.split()[1]}")
    for line in _running.rcon("listip").splitlines()[1:]:
        _running.rcon(f"removeip {line.partition(' ')[2].partition(' :')[0].replace(' ', '')}")
    _running.rcon("writeid;writeip")
    return _running


@pytest.fixture
def server(cast, game) -> Server:
    return make_server(cast.owner, port=game.port, actual_state="running", rcon_password=game.password)


def run(now=None) -> int:
    return application.apply_due("local", now=now or timezone.now())


def join(game: harness.Sim, name: str) -> str:
    """The SteamID64 of `name`, who has joined."""
    game.rcon(f"sim_join {name}")
    people = parse_status(game.rcon("status")).people
    return next(player.steamid64 for player in people if player.name == name)


def on(game: harness.Sim) -> set[str]:
    return {player.name for player in parse_status(game.rcon("status")).people}


def test_a_banned_player_is_thrown_out_listed_written_and_kept_out(cast, game, server):
    troll = join(game, "Troll")
    make_ban(make_list(cast.owner, is_default=True), target=troll)
    assert run() == 1
    assert on(game) == set()
    assert "refused" in game.rcon("sim_join Troll")
    assert "banid 0 STEAM_1" in (game.tree / "left4dead2/cfg/banned_user.cfg").read_text()
    row = server.applied_bans
    assert (row.targets, row.problems, row.error) == ({troll: None}, {}, "")


def test_a_player_who_is_still_loading_is_kicked_as_well(cast, game, server):
    ban = make_ban(make_list(cast.owner, is_default=True))
    row = status_text([Person(101, state="spawning")])
    quirks = Quirks(answers={"listid;listip": EMPTY, "status": row.encode()})
    with ScriptedServer(quirks) as loading:
        Server.objects.update(port=loading.port)
        server.rcon_password = PASSWORD
        server.save(update_fields=["sealed_rcon_password"])
        run()
        assert any(command.startswith("kickid 2 ") for command in loading.commands)
    assert ban.target in AppliedBans.objects.get().problems


def test_a_lifted_ban_is_removed_and_does_not_come_back_with_the_next_map(cast, game, server):
    troll = join(game, "Troll")
    ban = make_ban(make_list(cast.owner, is_default=True), target=troll)
    run()
    Ban.objects.filter(pk=ban.pk).update(ended_at=timezone.now())
    BanList.objects.update(version=2)
    assert run() == 1
    game.send("map c1m2_streets")
    game.wait_for_line('Started map "c1m2_streets"')
    assert "joined" in game.rcon("sim_join Troll")
    assert server.applied_bans.targets == {}


def test_nothing_is_asked_while_nothing_changes(cast, game, server):
    make_ban(make_list(cast.owner, is_default=True))
    assert [run(), run(), run()] == [1, 0, 0]
    assert run(timezone.now() + application.COMPARED_EVERY + timedelta(seconds=1)) == 1


def test_a_ban_for_a_time_ends_in_the_game(cast, game, server):
    troll = join(game, "Troll")
    make_ban(make_list(cast.owner, is_default=True), target=troll, expires_at=timezone.now() + timedelta(minutes=30))
    run()
    assert " : 30.0" in game.rcon("listid") or " : 29.9" in game.rcon("listid")
    assert "STEAM" not in (game.tree / "left4dead2/cfg/banned_user.cfg").read_text()
    with time_machine.travel(timezone.now() + timedelta(minutes=31), tick=True):
        assert run() == 1
        assert "empty" in game.rcon("listid")
        assert "joined" in game.rcon("sim_join Troll")


def test_an_address_is_banned_and_unbanned(cast, game, server):
    ban = make_ban(make_list(cast.owner, is_default=True), target="203.0.113.0/24", name="")
    run()
    assert "203.  0.113.  0 : permanent" in game.rcon("listip")
    assert "addip 0 203.0.113.0" in (game.tree / "left4dead2/cfg/banned_ip.cfg").read_text()
    Ban.objects.filter(pk=ban.pk).update(ended_at=timezone.now())
    BanList.objects.update(version=2)
    run()
    assert "empty" in game.rcon("listip")


def test_bans_of_the_server_of_its_owner_and_of_subscribed_lists_are_applied_together(cast, game, server):
    make_ban(make_list(cast.owner, is_default=True), 1)
    make_ban(make_list(cast.owner, server=server), 2)
    shared = make_list(cast.stranger, is_shared=True)
    make_ban(shared, 3)
    make_ban(make_list(cast.stranger, is_shared=True, name="Not subscribed"), 4)
    Subscription.objects.create(ban_list=shared, user=cast.owner)
    run()
    assert set(server.applied_bans.targets) == {str(STEAM_ID_64_BASE + account) for account in (1, 2, 3)}
    BanList.objects.filter(pk=shared.pk).update(is_shared=False)
    run()
    assert game.rcon("listid").startswith("ID filter list: 2 entries")


def test_a_ban_made_in_the_game_becomes_a_row_and_can_be_lifted(cast, game, server):
    troll = join(game, "Troll")
    make_session(server, int(troll) - STEAM_ID_64_BASE, timezone.now(), name_at_join="Troll")
    steam_id = next(player.uniqueid for player in parse_status(game.rcon("status")).people)
    game.rcon(f"banid 60 {steam_id} kick")
    run()
    ban = Ban.objects.get()
    assert (ban.ban_list.server, ban.target, ban.name, ban.created_by) == (server, troll, "Troll", None)
    assert ban.expires_at is not None
    run()
    assert [run(), Ban.objects.count()] == [0, 1]
    Ban.objects.update(ended_at=timezone.now())
    BanList.objects.update(version=9)
    run()
    assert "empty" in game.rcon("listid")


def test_a_ban_of_the_game_is_added_again_after_an_earlier_row_of_it_has_expired(cast, game, server):
    past = timezone.now() - timedelta(hours=1)
    own = adoption.own_list(server)
    make_ban(own, created_at=past, expires_at=past + timedelta(minutes=1))
    adoption.adopt(server, {str(STEAM_ID_64_BASE + 101): 0}, now=timezone.now())
    assert Ban.objects.active(timezone.now()).count() == 1


def test_a_ban_lifted_on_the_console_comes_back_because_the_row_stands(cast, game, server):
    troll = join(game, "Troll")
    make_ban(make_list(cast.owner, is_default=True), target=troll)
    run()
    game.rcon(f"removeid {game.rcon('listid').split()[6]}")
    assert "empty" in game.rcon("listid")
    run(timezone.now() + application.COMPARED_EVERY + timedelta(seconds=1))
    assert "1 entry" in game.rcon("listid")


def test_a_game_that_was_restarted_is_told_everything_again(cast, game, server):
    make_ban(make_list(cast.owner, is_default=True))
    run()
    game.rcon(f"removeid {game.rcon('listid').split()[6]}")
    Server.objects.update(started_at=timezone.now())
    assert run() == 1
    assert "1 entry" in game.rcon("listid")


def test_a_game_that_does_not_take_a_ban_is_named_with_its_words_and_asked_again(cast, game, server):
    ban = make_ban(make_list(cast.owner, is_default=True))
    game.rcon("sv_lan 1")
    run()
    row = AppliedBans.objects.get()
    assert row.problems == {ban.target: "Can't ban users on a LAN"}
    assert run() == 0
    game.rcon("sv_lan 0")
    assert run(row.due_at) == 1
    row.refresh_from_db()
    assert (row.problems, row.failures, row.targets) == ({}, 0, {ban.target: None})


def test_a_silent_game_is_asked_less_and_less_often_and_catches_up(cast, server, game):
    ban = make_ban(make_list(cast.owner, is_default=True))
    Server.objects.update(port=harness.free_port())
    pauses = []
    for _attempt in range(3):
        row = AppliedBans.objects.filter(server=server).first()
        run(row.due_at if row else None)
        row = AppliedBans.objects.get()
        pauses.append(round((row.due_at - timezone.now()).total_seconds()))
        assert "Nothing responds" in row.error
    assert pauses == [5, 10, 20]
    assert run() == 0
    Server.objects.update(port=game.port)
    assert run(row.due_at) == 1
    assert AppliedBans.objects.get().targets == {ban.target: None}


def test_an_incomplete_answer_changes_nothing(cast, game, server):
    make_ban(make_list(cast.owner, is_default=True))
    with ScriptedServer(Quirks(answers={"listid;listip": EMPTY[:22]})) as cut:
        Server.objects.update(port=cut.port)
        server.rcon_password = PASSWORD
        server.save(update_fields=["sealed_rcon_password"])
        run()
        assert cut.commands == ["listid;listip"]
    assert "whole list" in AppliedBans.objects.get().error


def test_servers_of_other_hosts_and_stopped_ones_are_left_alone(cast, game, server):
    make_ban(make_list(cast.owner, is_default=True))
    Server.objects.update(host=make_host(name="second"))
    assert run() == 0
    assert application.apply_due("second", now=timezone.now()) == 1
    Server.objects.update(actual_state="stopped", host=make_host())
    AppliedBans.objects.all().delete()
    assert run() == 0


def test_start_files_hold_every_ban_and_adopt_what_the_game_wrote(cast, tmp_path):
    server = make_server(cast.owner)
    default = make_list(cast.owner, is_default=True)
    make_ban(default, 2, expires_at=timezone.now() + timedelta(minutes=30))
    make_ban(default, 4, expires_at=timezone.now() + timedelta(minutes=30), ended_at=timezone.now())
    cfg = this_host.storage().of(server.pk).upper / "left4dead2/cfg"
    cfg.mkdir(parents=True)
    (cfg / "banned_user.cfg").write_text("banid 0 STEAM_1:0:3\r\n")
    layer = tmp_path / "overlay/left4dead2/cfg"
    layer.mkdir(parents=True)
    (layer / "banned_user.cfg").write_text("banid 0 STEAM_1:0:9\n")
    (layer / "banned_ip.cfg").write_text("addip 0 203.0.113.7\n")
    files = start_files.make(server, [Path(tmp_path / "overlay")]).files
    assert files["left4dead2/cfg/banned_user.cfg"] == "banid 0 STEAM_1:0:1\nbanid 0 STEAM_1:0:3\n"
    assert files["left4dead2/cfg/banned_ip.cfg"] == "addip 0 203.0.113.7\n"
    assert Ban.objects.filter(ban_list__server=server).count() == 2
    Ban.objects.filter(ban_list__server=server).update(ended_at=timezone.now())
    files = start_files.make(server, [Path(tmp_path / "overlay")]).files
    assert files["left4dead2/cfg/banned_user.cfg"] == "banid 0 STEAM_1:0:1\n"
    assert files["left4dead2/cfg/banned_ip.cfg"] == ""


def test_pages_are_told_of_what_changed_and_not_of_each_comparison(cast, game, server, monkeypatch):
    told = []
    monkeypatch.setattr(application.signals, "send_after_commit", lambda *names: told.extend(names))
    assert run() == 1
    assert told == [server.resource]
    assert run(timezone.now() + application.COMPARED_EVERY) == 1
    assert told == [server.resource]
    make_ban(make_list(cast.owner, is_default=True))
    assert run() == 1
    assert told == [server.resource] * 2
