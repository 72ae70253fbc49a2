"""What games tell: the file that their script writes, the rows made of it, and the votes in these."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta

import pytest
from django.utils import timezone

from livestate.poller import Answered
from livestate.rotation import events, start_files, votes
from livestate.rotation.models import GameEvent
from livestate.status import parse_status
from livestate.tests.answers import Person, status_text
from servers.hosts import this_host
from servers.models import Server
from servers.tests.factories import make_server

pytestmark = pytest.mark.django_db

STARTED = (
    "vote_started\tc1m1_hotel\tcoop\t#L4D_vote_mission_change\t#L4D360UI_CampaignName_C5\t255\tZoey\tSTEAM_1:1:50"
)
PASSED = "vote_passed\tc1m1_hotel\tcoop\t#L4D_vote_passed_mission_change\t#L4D360UI_CampaignName_C5\t255\t3\t1\t4"


@pytest.fixture
def server(cast, settings, tmp_path) -> Server:
    settings.LEFT4ME_ROOT = tmp_path
    return make_server(cast.owner, actual_state="running")


@dataclass
class Game:
    server: Server

    def tells(self, *texts: str, ago: int = 0, run: str = "0a1b2c3d") -> None:
        path = this_host.storage().of(self.server.pk).upper / events.FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{run}-{number}\t{text}\n" for number, text in enumerate(texts, start=1)))
        at = timezone.now().timestamp() - ago
        os.utime(path, (at, at))

    def read(self, reader: events.Reader, *, people: int = 1) -> list[str]:
        status = parse_status(status_text([Person(101 + number) for number in range(people)]))
        reader.read([Answered(self.server.pk, status, 0.01)], now=timezone.now())
        return list(GameEvent.objects.order_by("pk").values_list("name", flat=True))


def test_new_lines_become_events_once(server):
    game, reader = Game(server), events.Reader()
    assert game.read(reader) == []
    game.tells(STARTED)
    assert game.read(reader) == ["vote_started"]
    game.tells(STARTED, PASSED, "finale_win\tc1m4_atrium\tcoop")
    assert game.read(reader) == ["vote_started", "vote_passed", "finale_win"]
    assert game.read(events.Reader()) == ["vote_started", "vote_passed", "finale_win"]
    row = GameEvent.objects.get(name="finale_win")
    assert (row.map, row.mode, row.is_handled) == ("c1m4_atrium", "coop", False)
    # Votes are shown and followed by nothing.
    assert GameEvent.objects.get(name="vote_passed").is_handled


def test_the_end_is_heard_although_everybody_has_left_by_then(server):
    game, reader = Game(server), events.Reader()
    game.read(reader)
    game.tells("finale_win\tc1m4_atrium\tcoop")
    assert game.read(reader, people=0) == ["finale_win"]


def test_what_was_told_long_ago_is_not_taken_for_new(server):
    game = Game(server)
    game.tells("finale_win\tc1m4_atrium\tcoop", ago=600)
    assert game.read(events.Reader()) == []


@pytest.mark.parametrize(
    "line",
    [
        "",
        "nonsense",
        "finale_win\tc1m4_atrium\tcoop",
        "0a1b2c3d-1\tquit\tc1m4_atrium\tcoop",
        "0a1b2c3d-1\tfinale_win",
        "0a1b2c3d-1\tfinale_win" + "\tx" * 50,
        "../../etc-1\tfinale_win\tc1m4_atrium\tcoop",
    ],
)
def test_lines_of_another_form_are_left_out(line):
    assert events.parse(line, server_id=1, at=timezone.now()) is None


def test_a_line_is_cut_to_what_a_row_holds():
    event = events.parse(f"0a1b2c3d-1\tfinale_win\t{'m' * 999}\tco\0op\t{'x' * 999}", server_id=1, at=timezone.now())
    event.full_clean(exclude=["server"], validate_constraints=False)
    assert "\0" not in event.mode


def test_a_link_in_the_place_of_the_file_is_not_followed(server, tmp_path):
    (tmp_path / "secret").write_text("0a1b2c3d-1\tfinale_win\tc1m4_atrium\tcoop\n")
    path = this_host.storage().of(server.pk).upper / events.FILE
    path.parent.mkdir(parents=True)
    path.symlink_to(tmp_path / "secret")
    assert Game(server).read(events.Reader()) == []


def test_every_start_lays_the_script_after_the_one_of_the_topmost_overlay(server, tmp_path):
    upper, lower = tmp_path / "upper", tmp_path / "lower"
    for tree, text in ((upper, "theirs()"), (lower, "hidden()")):
        path = tree / start_files.SCRIPT
        path.parent.mkdir(parents=True)
        path.write_text(text)
    text = start_files.make(server, [tmp_path / "without", upper, lower]).files[str(start_files.SCRIPT)]
    assert text.startswith("theirs()\n") and "left4me_events.txt" in text and "hidden()" not in text
    assert start_files.make(server, []).files[str(start_files.SCRIPT)] == start_files.script()


def test_a_script_of_an_overlay_that_could_not_be_written_back_stays(server, tmp_path):
    path = tmp_path / start_files.SCRIPT
    path.parent.mkdir(parents=True)
    path.write_bytes(b"// \xb0\xa1")
    assert start_files.make(server, [tmp_path]).files == {}


def folded(*told: tuple[str, list[str]], ago: int = 0) -> list[votes.Vote]:
    now = timezone.now()
    rows = [GameEvent(name=name, details=details, at=now - timedelta(seconds=ago)) for name, details in told]
    return votes.fold(rows, {}, now=now)


def test_a_vote_says_what_it_is_about_who_called_it_and_how_it_ended(server):
    game, reader = Game(server), events.Reader()
    game.tells(STARTED, PASSED)
    game.read(reader)
    [vote] = votes.of_server(server, {}, now=timezone.now())
    assert (vote.title, vote.subject, vote.starter) == ("Change the campaign", "The Parish", "Zoey")
    assert (vote.outcome, vote.yes, vote.no, vote.voters) == ("passed", 3, 1, 4)
    assert vote.steam_id_64 == 76561197960265829


def test_a_vote_whose_end_was_not_told_has_no_result_after_a_while():
    started = ("vote_started", ["#L4D_vote_kick_player", "Louis", "2", "Zoey", ""])
    assert [vote.outcome for vote in folded(started)] == ["open"]
    assert [vote.outcome for vote in folded(started, ago=300)] == ["unknown"]


def test_votes_of_two_teams_are_told_apart():
    found = folded(
        ("vote_started", ["#L4D_vote_kick_player", "Louis", "2", "Zoey", ""]),
        ("vote_started", ["#L4D_vote_kick_player", "Nick", "3", "Ellis", ""]),
        ("vote_failed", ["", "", "3", "1", "3", "4"]),
        ("vote_passed", ["#L4D_vote_passed_kick_player", "Louis", "2", "3", "1", "4"]),
        ("vote_passed", ["#L4D_vote_passed_kick_player", "Louis", "2", "3", "1", "4"]),
    )
    assert [(vote.subject, vote.outcome) for vote in found] == [("Louis", "passed"), ("Nick", "failed")]


def test_a_vote_of_a_plugin_is_shown_by_its_own_name():
    [vote] = folded(("vote_started", ["#Sniper_war", "now or never", "255", "", "BOT"]))
    assert (vote.title, vote.subject, vote.steam_id_64) == ("Sniper_war", "now or never", None)
