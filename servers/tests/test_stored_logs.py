"""The stored logs, on the host that has them: what a game writes there is not to be trusted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from left4me.core.lines import Masker
from servers.logs import stored
from servers.logs.stored import NoSuchLog, StoredLogs
from servers.tests.fake_runtime import FakeRuntime

LOGS = "left4dead2/logs"
PASSWORD = "Sesame123Sesame456Sesame789"


@pytest.fixture
def upper(tmp_path: Path) -> Path:
    for place in (LOGS, "left4dead2/addons/sourcemod/logs", "left4dead2/cfg"):
        (tmp_path / "upper" / place).mkdir(parents=True)
    return tmp_path / "upper"


def _logs(upper: Path, *lines: str) -> StoredLogs:
    runtime = FakeRuntime()
    runtime.lines = list(lines)
    return StoredLogs(1, runtime=runtime, upper=upper, mask=Masker([PASSWORD]))


def test_the_files_of_the_engine_and_of_sourcemod_are_listed_the_newest_first(upper: Path):
    for age, name in enumerate(
        (f"{LOGS}/L0001.log", "left4dead2/addons/sourcemod/logs/errors_1.log", "left4dead2/console.log")
    ):
        (upper / name).write_text("line\n")
        os.utime(upper / name, (1000 - age, 1000 - age))
    (upper / "left4dead2/cfg/server.cfg").write_text('rcon_password "secret"\n')
    assert [file.name for file in _logs(upper).files()] == [
        f"{LOGS}/L0001.log",
        "left4dead2/addons/sourcemod/logs/errors_1.log",
        "left4dead2/console.log",
    ]


def test_a_server_that_never_ran_has_no_files(tmp_path: Path):
    assert _logs(tmp_path / "upper").files() == []


@pytest.mark.parametrize(
    "name",
    ["left4dead2/cfg/server.cfg", "../../etc/passwd", f"{LOGS}/../cfg/server.log", "/etc/passwd", f"{LOGS}/none.log"],
)
def test_nothing_but_listed_logs_is_read(upper: Path, name: str):
    (upper / "left4dead2/cfg/server.cfg").write_text('rcon_password "secret"\n')
    (upper / "left4dead2/cfg/server.log").write_text("not here\n")
    with pytest.raises(NoSuchLog):
        _logs(upper).read(name, offset=0)


def test_links_and_fifos_that_a_game_left_are_neither_listed_nor_followed(upper: Path, tmp_path: Path):
    (tmp_path / "secret").write_text("the database password")
    (upper / LOGS / "a.log").symlink_to(tmp_path / "secret")
    os.mkfifo(upper / LOGS / "b.log")
    (upper / "left4dead2/addons/sourcemod/logs").rmdir()
    (upper / "left4dead2/addons/sourcemod/logs").symlink_to(tmp_path)
    (tmp_path / "c.log").write_text("outside")
    logs = _logs(upper)
    assert logs.files() == []
    for name in (f"{LOGS}/a.log", f"{LOGS}/b.log", "left4dead2/addons/sourcemod/logs/c.log"):
        with pytest.raises(NoSuchLog):
            logs.read(name, offset=0)


def test_a_long_file_is_read_in_pieces(upper: Path, monkeypatch):
    monkeypatch.setattr(stored, "PIECE", 4)
    (upper / LOGS / "a.log").write_text("0123456789")
    pieces = [_logs(upper).read(f"{LOGS}/a.log", offset=offset) for offset in (0, 4, 8, 12)]
    assert b"".join(piece.data for piece in pieces) == b"0123456789"
    assert {piece.size for piece in pieces} == {10}


def test_the_console_is_searched_in_any_case_with_the_time_of_each_line(upper: Path):
    logs = _logs(upper, "Loading map", "Tank spawned", "nothing")
    assert logs.find("TANK") == ["2030-01-01 00:00:00 Tank spawned"]


def test_a_search_shows_the_newest_lines_and_joins_lines_over_pieces(upper: Path, monkeypatch):
    monkeypatch.setattr(stored, "PIECE", 7)
    monkeypatch.setattr(stored, "MOST_FOUND", 2)
    (upper / LOGS / "a.log").write_bytes(b"tank 1\r\ntank 2\r\nwitch\r\ntank 3")
    assert _logs(upper).find("tank", name=f"{LOGS}/a.log") == ["tank 2", "tank 3"]


def test_no_log_shows_the_rcon_password_and_no_search_tells_how_it_goes_on(upper: Path):
    printed = f'"rcon_password" = "{PASSWORD}" ( def. "" )'
    (upper / LOGS / "L0001.log").write_text(f"{printed}\n")
    logs = _logs(upper, printed)
    assert [line.partition('"')[2] for line in logs.console()] == ['rcon_password" = "•••" ( def. "" )']
    assert logs.find(PASSWORD[:2]) == []
    assert logs.find(PASSWORD[:2], name=f"{LOGS}/L0001.log") == []
    assert len(logs.find("rcon_password", name=f"{LOGS}/L0001.log")) == 1


@pytest.mark.parametrize("before", range(-30, 5))
def test_a_password_across_two_pieces_of_a_file_is_masked_and_the_positions_stay(
    upper: Path, monkeypatch: pytest.MonkeyPatch, before: int
):
    monkeypatch.setattr(stored, "PIECE", 64)
    data = b"x" * (64 + before) + PASSWORD.encode() + b"y" * 70
    (upper / LOGS / "L0001.log").write_bytes(data)
    pieces = b""
    while piece := _logs(upper).read(f"{LOGS}/L0001.log", offset=len(pieces)).data:
        assert len(piece) <= 64
        pieces += piece
    assert pieces == data.replace(PASSWORD.encode(), b"*" * len(PASSWORD))
