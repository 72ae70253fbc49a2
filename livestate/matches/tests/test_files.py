"""The lines and files that a match is followed by."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from livestate.matches import gamelog, scores
from livestate.matches.gamelog import Event, Kind

ANNA, BEN = 76561197960265728 + 22, 76561197960265728 + 33
STAMP = "L 11/30/2026 - 20:14:05: "
FILE = """[Gameround:2]
2;2026-11-30;20:31;4;Arena v1.0;c5m2_park;

[RoundHalf:0]
0;A;12;0;

[Players:A]:
1;5;STEAM_1:0:11;3;4;

[InfectedPlayers:A]:
1;6;STEAM_1:1:16;3;4;

[RoundHalf:1]
1;B;9;0;

[Players:B]:
1;6;STEAM_1:1:16;3;4;
2;7;BOT;0;0;

[Scoring:]
A;310;720;B;-5;450;

[PlayerNames:]:
1;STEAM_1:0:11;Anna
"""


def events(*lines: str) -> list[Event]:
    return list(gamelog.read(lines))


def test_chat_tells_who_is_ready_and_the_line_tells_the_side():
    more = "<Gambler><ALIVE><100+0><setpos_exact 1.0 2.0 3.0; setang 0.0 1.0 0.0><Area 12>"
    line = f'{STAMP}"Anna<5><STEAM_1:0:11><Survivor>{more}" say "!ready"'
    assert events(line) == [
        Event(kind=Kind.SIDE, steam_id_64=ANNA, side="Survivor"),
        Event(kind=Kind.READY, steam_id_64=ANNA),
    ]
    assert events(f'{STAMP}"Ben<6><STEAM_1:1:16><>" say_team "/nr"') == [Event(kind=Kind.NOT_READY, steam_id_64=BEN)]
    assert events(f'{STAMP}"Ben<6><STEAM_1:1:16><>" say "are you ready?"') == []


def test_joins_of_teams_and_leaving_are_seen():
    assert events(f'{STAMP}"Ben<6><STEAM_1:1:16><Unassigned>" joined team "Infected"') == [
        Event(kind=Kind.SIDE, steam_id_64=BEN, side="Infected")
    ]
    left = f'{STAMP}"Ben<6><STEAM_1:1:16><Infected>" disconnected (reason "Disconnect by user.")'
    assert events(left) == [Event(kind=Kind.LEFT, steam_id_64=BEN)]


def test_nobody_speaks_for_another_player():
    forged = '"x<9><STEAM_1:1:16><Survivor>" say "!ready'
    assert events(f'{STAMP}"Anna<5><STEAM_1:0:11><Survivor>" say "{forged}"') == []
    assert events(f'{STAMP}"{forged}<5><STEAM_1:0:11><Survivor>" say "hello"') == []


def test_a_log_is_read_from_where_it_ended_and_only_in_whole_lines(tmp_path: Path):
    folder = tmp_path.joinpath(*gamelog.FOLDER)
    folder.mkdir(parents=True)
    log = folder / "L1130000.log"
    log.write_text("said before\n")
    lines, position = gamelog.new_lines(tmp_path, {})
    assert lines == [], "what was said before counts for nothing"
    with log.open("a") as file:
        file.write("first\nsecond\nhal")
    lines, position = gamelog.new_lines(tmp_path, position)
    assert lines == ["first", "second"]
    with log.open("a") as file:
        file.write("f\n")
    assert gamelog.new_lines(tmp_path, position)[0] == ["half"]


def test_a_newer_log_is_read_from_its_beginning(tmp_path: Path):
    folder = tmp_path.joinpath(*gamelog.FOLDER)
    assert gamelog.new_lines(tmp_path, {}) == ([], {"file": "", "offset": 0})
    folder.mkdir(parents=True)
    (folder / "L1130000.log").write_text("old\n")
    os.utime(folder / "L1130000.log", (1, 1))
    (folder / "L1130001.log").write_text("new\n")
    assert gamelog.new_lines(tmp_path, {"file": "L1130000.log", "offset": 4})[0] == ["new"]


def test_the_score_of_a_map_has_points_totals_and_teams():
    played = scores.parse(FILE, file="f")
    assert played is not None
    assert (played["map"], played["config"]) == ("c5m2_park", "Arena v1.0")
    assert (played["a"], played["total_a"], played["b"], played["total_b"]) == (310, 720, -5, 450)
    assert (played["team_a"], played["team_b"]) == ([str(ANNA)], [str(BEN)])


def test_a_map_that_one_team_has_played_has_no_score():
    assert scores.parse(FILE.partition("[Scoring:]")[0]) is None
    assert scores.parse("") is None


def test_only_files_of_the_match_count(tmp_path: Path):
    folder = tmp_path.joinpath(*scores.FOLDER)
    folder.mkdir(parents=True)
    begin = datetime(2026, 11, 30, 20, 0, tzinfo=UTC)
    for name, changed in {
        "2026-11-30_20-14_0001_c5m1_waterfront.txt": 60,
        "2026-11-30_20-31_0002_c5m2_park.txt": 900,
        "2026-11-30_19-00_0001_c2m1_highway.txt": -600,
        "errors_20261130.txt": 60,
    }.items():
        (folder / name).write_text(FILE)
        os.utime(folder / name, (begin.timestamp() + changed,) * 2)
    found = [played["file"] for played in scores.find(tmp_path, since=begin)]
    assert found == ["2026-11-30_20-14_0001_c5m1_waterfront.txt", "2026-11-30_20-31_0002_c5m2_park.txt"]


def test_of_many_files_the_last_ones_are_read_and_one_that_is_none_is_passed_over(tmp_path: Path, monkeypatch):
    folder = tmp_path.joinpath(*scores.FOLDER)
    folder.mkdir(parents=True)
    begin = datetime(2026, 11, 30, 20, 0, tzinfo=UTC)
    names = [f"2026-11-30_20-{minute}_0001_c5m1_waterfront.txt" for minute in range(10, 15)]
    for name in names:
        (folder / name).write_text(FILE)
        os.utime(folder / name, (begin.timestamp(),) * 2)
    monkeypatch.setattr(scores, "_MOST", 3)
    assert [played["file"] for played in scores.find(tmp_path, since=begin)] == names[-3:]
    (folder / names[-2]).unlink()
    (folder / names[-2]).mkdir()
    os.utime(folder / names[-2], (begin.timestamp(),) * 2)
    found = [played["file"] for played in scores.find(tmp_path, since=begin)]
    assert found[-1] == names[-1] and names[-2] not in found
