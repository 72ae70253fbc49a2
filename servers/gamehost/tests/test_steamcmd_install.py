from __future__ import annotations

import io
import json
import sys
import tarfile
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from left4me.core.concurrency import Cancelled
from left4me.core.net.egress import AllowedHosts
from servers.gamehost.game import NoVersion, Version, Versions
from servers.gamehost.steamcmd import bootstrap, session
from servers.gamehost.steamcmd.install import InstallFailed, install, roll_back
from servers.gamehost.steamcmd.output import public_build
from servers.gamehost.steamcmd.session import Login, LookupFailed, SteamCmd

HERE = Path(__file__).parent
GOOD = {"downloads": 2, "build": "100"}
MISSING_CONFIGURATION = {"says": "ERROR! Failed to install app '222860' (Missing configuration)\n", "exit": 8}
INVALID_PLATFORM = {"says": "ERROR! Failed to install app '222860' (Invalid platform)\n", "exit": 8}
PAUSED = {"says": "Error! App '222860' state is 0x202 after update job.\n", "exit": 8}
TERABYTE = 1 << 40


class Notes:
    """A watch that remembers, and cancels as soon as a log line or a phase says so."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.seen: list[tuple[str, int, int | None, str]] = []
        self.cancel_at = ""

    def progress(self, *, phase: str, done: int, total: int | None = None, unit: str = "") -> None:
        self.seen.append((phase, done, total, unit))

    def log(self, line: str) -> None:
        self.lines.append(line)

    def cancelled(self) -> bool:
        told = [*self.lines, *(phase for phase, *_ in self.seen)]
        return bool(self.cancel_at) and any(self.cancel_at in line for line in told)


class Steam:
    """An install under test: the fake program, the versions, and what was told on the way."""

    def __init__(self, root: Path) -> None:
        self.directory = root / "steamcmd"
        (self.directory / "linux32").mkdir(parents=True)
        (self.directory / "linux32/steamclient.so").write_text("client 1")
        program = self.directory / "steamcmd.sh"
        program.write_text(f"#!{sys.executable} -S\n" + (HERE / "fake_steamcmd.py").read_text())
        program.chmod(0o755)
        self.steamcmd = SteamCmd(program=program, home=self.directory / "home")
        self.versions = Versions(root / "game")
        self.notes = Notes()
        self._now = datetime(2026, 1, 1, tzinfo=UTC)

    def plays(self, *plays: dict[str, Any]) -> None:
        (self.directory / "plays.json").write_text(json.dumps(plays))

    def calls(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.directory / "calls.jsonl").read_text().splitlines()]

    def left(self) -> list[dict[str, Any]]:
        return json.loads((self.directory / "plays.json").read_text())

    def now(self) -> datetime:
        self._now += timedelta(hours=1)
        return self._now

    def install(self, **changes: Any) -> Version:
        values = {
            "versions": self.versions,
            "steamcmd": self.steamcmd,
            "watch": self.notes,
            "now": self.now,
            "pauses": (0.0, 0.0),
            "free_bytes": lambda path: TERABYTE,
        }
        return install(**{**values, **changes})


@pytest.fixture
def steam(tmp_path: Path) -> Steam:
    return Steam(tmp_path)


def newest(build: str) -> dict[str, Any]:
    """What `app_info_print` answers."""
    return {"says": f'"222860"\n{{\n "branches"\n {{\n  "public"\n  {{\n   "buildid"  "{build}"\n  }}\n }}\n}}\n'}


def test_a_first_install_takes_windows_then_linux_in_one_session(steam: Steam) -> None:
    steam.plays(GOOD)
    version = steam.install()
    assert version.build == "100"
    assert steam.versions.current() == version
    assert (version.path / "srcds_run").exists()
    [call] = steam.calls()
    lines = call["script"].splitlines()
    wanted = [
        f'force_install_dir "{steam.versions.staging}"',
        "login anonymous",
        "@sSteamCmdForcePlatformType windows",
        "app_update 222860",
        "@sSteamCmdForcePlatformType linux",
        "app_update 222860 validate",
        "quit",
    ]
    assert [line for line in lines if line in wanted] == wanted


def test_progress_is_told_in_bytes_with_its_phase(steam: Steam) -> None:
    steam.plays(GOOD)
    steam.install()
    assert ("reconfiguring", 0, None, "bytes") in steam.notes.seen
    assert ("downloading", 361235210, 9710287462, "bytes") in steam.notes.seen
    assert ("verifying update", 4379339645, 9710287462, "bytes") in steam.notes.seen
    assert not any("progress:" in line for line in steam.notes.lines)


@pytest.mark.parametrize("flaw", [MISSING_CONFIGURATION, INVALID_PLATFORM])
def test_what_passes_is_tried_again(steam: Steam, flaw: dict[str, Any]) -> None:
    steam.plays(flaw, flaw, GOOD)
    assert steam.install().build == "100"
    assert sum("retrying" in line for line in steam.notes.lines) == 2


def test_after_all_tries_it_fails_and_says_that_an_account_would_help(steam: Steam) -> None:
    steam.plays(INVALID_PLATFORM, INVALID_PLATFORM, INVALID_PLATFORM)
    with pytest.raises(InstallFailed, match="to a Steam account that owns the game"):
        steam.install()
    with pytest.raises(NoVersion):
        steam.versions.current()


def test_the_account_is_the_way_out_and_its_password_shows_nowhere(steam: Steam) -> None:
    steam.plays(INVALID_PLATFORM, INVALID_PLATFORM, INVALID_PLATFORM, {**GOOD, "downloads": 1, "echo_login": True})
    login = Login(username="gordon", password="free man", guard_code="R7XK2")
    assert steam.install(login=login).build == "100"
    last = steam.calls()[-1]
    assert 'login "gordon" "free man" "R7XK2"' in last["script"]
    assert "windows" not in last["script"]
    assert last["mode"] == 0o600
    assert not list(steam.steamcmd.home.glob("script-*"))
    told = " ".join([*steam.notes.lines, *(word for call in steam.calls() for word in call["argv"]), repr(login)])
    assert "free man" not in told
    assert "R7XK2" not in told


@pytest.mark.parametrize(
    ("said", "status", "words"),
    [
        ("Error! App '222860' state is 0x202 after update job.", 8, "disk is full"),
        ("Error! App '222860' state is 0x606 after update job.", 8, "could not be written"),
        ("Error! App '222860' state is 0x602 after update job.", 8, "connection to Steam was lost"),
        ("Error! App '222860' state is 0x6 after update job.", 8, "no Steam content server"),
        ("Error! App '222860' state is 0x486 after update job.", 8, "0x486"),
        ("ERROR! Failed to install app '222860' (No subscription)", 8, "does not own"),
        ("ERROR! Failed to install app '222860' (Strange new thing)", 8, "Strange new thing"),
        ("ERROR! Timed out waiting for AppInfo update.", 1, "did not respond in time"),
        ("FAILED login with result code Rate Limit Exceeded", 5, "half an hour"),
        ("Login Failure: Invalid Password", 5, "wrong account name or password"),
        ("steamcmd.sh: line 38: /x/linux32/steamcmd: No such file or directory", 127, "32-bit libraries"),
        ("", 5, "rejected the login"),
        ("", 139, "status 139"),
    ],
)
def test_a_failure_is_told_in_words(steam: Steam, said: str, status: int, words: str) -> None:
    steam.plays(*[{"says": said + "\n", "exit": status}] * 3)
    with pytest.raises(InstallFailed, match=words):
        steam.install()


def test_a_full_disk_is_not_tried_again(steam: Steam) -> None:
    steam.plays(*[PAUSED] * 2)
    room = iter([TERABYTE])
    with pytest.raises(InstallFailed, match=r"disk is full: only 2\.0 GB are free"):
        steam.install(free_bytes=lambda path: next(room, 2 * 1024**3))
    assert len(steam.left()) == 1


def test_a_pause_with_room_on_the_disk_is_tried_once_more_and_the_room_is_told(steam: Steam) -> None:
    steam.plays(*[PAUSED] * 3)
    with pytest.raises(InstallFailed, match=r"1024\.0 GB are free .* quotas and permissions"):
        steam.install()
    assert len(steam.left()) == 1


def _order(call: dict[str, Any]) -> list[str]:
    names = {"force_install_dir": "directory", "login": "login", "@sSteamCmdForcePlatformType": "platform"}
    return [names[line.split()[0]] for line in call["script"].splitlines() if line.split()[0] in names]


def test_each_try_takes_another_order(steam: Steam) -> None:
    steam.plays(INVALID_PLATFORM, INVALID_PLATFORM, GOOD)
    steam.install()
    assert [_order(call) for call in steam.calls()] == [
        ["directory", "login", "platform", "platform"],
        ["login", "directory", "platform", "platform"],
        ["platform", "directory", "login", "platform"],
    ]


def test_an_update_that_is_refused_for_linux_takes_windows_first(steam: Steam) -> None:
    steam.plays(GOOD, newest("200"), INVALID_PLATFORM, {"downloads": 2, "build": "200"})
    steam.install()
    assert steam.install().build == "200"
    assert ["windows" in call["script"] for call in steam.calls()[2:]] == [False, True]


def test_a_stale_manifest_is_forgotten_before_the_next_try(steam: Steam) -> None:
    stale = {"says": "Error! App '222860' state is 0x6 after update job.\n", "exit": 8, "build": "100", "flags": "6"}
    steam.plays(stale, {"hold": "steamapps/appmanifest_222860.acf", **GOOD})
    steam.install()
    assert steam.calls()[1]["held"] is False


def test_a_self_update_is_no_failed_try(steam: Steam) -> None:
    steam.plays({"says": "[----] Update complete, launching Steamcmd...\n", "exit": 42}, GOOD)
    assert steam.install(pauses=()).build == "100"


def test_a_crash_after_the_work_is_done_is_forgiven(steam: Steam) -> None:
    crash = 'steamcmd.sh: line 39:   133 Segmentation fault      (core dumped) $DEBUGGER "$STEAMEXE" "$@"\n'
    steam.plays({**GOOD, "says": crash, "exit": 139})
    assert steam.install(pauses=()).build == "100"


def test_a_confirmation_in_the_app_is_something_to_do_within_a_time(steam: Steam, monkeypatch) -> None:
    monkeypatch.setattr(session, "_CONFIRMATION_SECONDS", 1)
    asks = "Please confirm the login in the Steam Mobile app on your phone.\n\nWaiting for confirmation...\n"
    steam.plays(INVALID_PLATFORM, {"says": asks, "hang": True})
    with pytest.raises(InstallFailed, match=r"not confirmed in the Steam Mobile app in time\.\n.*\n.*press Retry"):
        steam.install(login=Login(username="gordon", password="free man"), pauses=())
    phase, _, total, unit = next(seen for seen in steam.notes.seen if "confirm" in seen[0])
    assert phase == "Action needed: confirm the login in the Steam Mobile app"
    assert (total, unit) == (1, "s")
    assert any("Action needed" in line for line in steam.notes.lines)


def test_a_program_that_is_gone_is_told_with_its_cure(steam: Steam) -> None:
    steam.steamcmd.program.unlink()
    with pytest.raises(InstallFailed, match=r"was not found[^$]*apt-get install steamcmd"):
        steam.install()


@pytest.mark.parametrize(
    ("play", "words"),
    [
        ({"downloads": 2}, "manifest"),
        ({**GOOD, "flags": "1026"}, "manifest"),
        ({**GOOD, "downloads": 1}, "without reporting"),
        ({**GOOD, "exit": 8}, "rejected the installation"),
        ({**GOOD, "without": ["srcds_linux"]}, "srcds_linux is missing"),
    ],
)
def test_status_success_line_manifest_and_files_must_agree(steam: Steam, play: dict[str, Any], words: str) -> None:
    steam.plays(play)
    with pytest.raises(InstallFailed, match=words):
        steam.install(pauses=())


def test_too_little_space_is_refused_before_anything_is_fetched(steam: Steam) -> None:
    with pytest.raises(InstallFailed, match="25 GB must be free"):
        steam.install(free_bytes=lambda path: 24 * 1024**3)


def test_an_update_works_on_a_copy_and_leaves_the_running_version_alone(steam: Steam) -> None:
    steam.plays(GOOD, newest("200"), {"downloads": 1, "build": "200"})
    old = steam.install()
    new = steam.install()
    assert (old.path / "srcds_linux").read_text() == "binary 100"
    assert (new.path / "srcds_linux").read_text() == "binary 200"
    assert steam.versions.current() == new
    assert "windows" not in steam.calls()[-1]["script"]
    assert any(phase == "copying" for phase, *_ in steam.notes.seen)


def test_the_newest_build_is_neither_copied_nor_fetched_again(steam: Steam) -> None:
    steam.plays(GOOD, newest("100"), GOOD)
    first = steam.install()
    assert steam.install() == first
    assert len(steam.left()) == 1
    assert not steam.versions.staging.exists()


def test_when_the_newest_build_cannot_be_learnt_the_update_finds_out(steam: Steam) -> None:
    steam.plays(GOOD, {"says": "no connection\n"}, {"downloads": 1, "build": "100"})
    first = steam.install()
    assert steam.install() == first
    assert not steam.versions.staging.exists()


INFO = """\
AppID : 222860, change number : 29519173/0, last change : Thu Nov 26 18:02:11 2026
"222860"
{
\t"common"
\t{
\t\t"name"\t\t"Left 4 Dead 2 Dedicated Server"
\t}
\t"depots"
\t{
\t\t"222861"
\t\t{
\t\t\t"manifests"
\t\t\t{
\t\t\t\t"public"
\t\t\t\t{
\t\t\t\t\t"gid"\t\t"8013442351222"
\t\t\t\t\t"buildid"\t\t"1"
\t\t\t\t}
\t\t\t}
\t\t}
\t\t"branches"
\t\t{
\t\t\t"beta"
\t\t\t{
\t\t\t\t"buildid"\t\t"3"
\t\t\t}
\t\t\t"public"
\t\t\t{
\t\t\t\t"timeupdated"\t\t"1764180000"
\t\t\t\t"buildid"\t\t"16712345"
\t\t\t}
\t\t}
\t}
}
"""


@pytest.mark.parametrize(
    ("printed", "build"),
    [
        (INFO, "16712345"),
        (INFO.replace("\n", "\r\n"), "16712345"),
        ("No app info for AppID 222860 found, requesting...\n" + INFO, "16712345"),
        (INFO.replace("16712345", "16700000") + "Steam>\n" + INFO, "16712345"),
        (INFO + INFO[: INFO.index('"branches"')], "16712345"),
        (INFO.replace("16712345", "latest"), None),
        (INFO[: INFO.index('"timeupdated"')], None),
        ("No app info for AppID 222860 found, requesting...\n", None),
        ('"222860"\n{\n}\n"public" { "buildid" "7" }', None),
        ('"222860" { "branches" { "public" { "buildid" { "buildid" "7" } } } }', None),
        ("", None),
    ],
)
def test_the_public_build_is_read_from_what_steamcmd_prints_around_it(printed: str, build: str | None) -> None:
    assert public_build(printed) == build


def test_a_look_up_that_fails_says_why_in_the_words_of_an_installation(steam: Steam) -> None:
    steam.plays({"says": "ERROR! AppInfo request for AppId 222860 returned error 16.\n", "exit": 8}, {"says": "hm\n"})
    with pytest.raises(LookupFailed, match="in time"):
        steam.steamcmd.look_up_build(watch=steam.notes)
    with pytest.raises(LookupFailed, match="did not name the newest build"):
        steam.steamcmd.look_up_build(watch=steam.notes, afresh=True)


def test_going_back_takes_one_step_and_keeps_the_new_steamclient(steam: Steam) -> None:
    steam.plays(GOOD, newest("200"), {"downloads": 1, "build": "200"})
    old = steam.install()
    assert (old.path / ".steam/sdk32/steamclient.so").read_text() == "client 1"
    steam.install()
    (steam.directory / "linux32/steamclient.so").write_text("client 2")
    assert roll_back(versions=steam.versions, steamcmd=steam.steamcmd, watch=steam.notes) == old
    assert steam.versions.current() == old
    assert (old.path / ".steam/sdk32/steamclient.so").read_text() == "client 2"
    with pytest.raises(NoVersion):
        steam.versions.roll_back()


def test_a_cancel_ends_steamcmd_and_the_next_install_goes_on(steam: Steam) -> None:
    steam.plays({"says": "half-way\n", "hang": True}, GOOD)
    steam.notes.cancel_at = "half-way"
    with pytest.raises(Cancelled):
        steam.install()
    (steam.versions.staging / "partial").write_text("kept")
    steam.notes.cancel_at = ""
    assert (steam.install().path / "partial").exists()


def test_a_cancel_is_heard_in_the_pause_between_tries(steam: Steam) -> None:
    steam.plays(MISSING_CONFIGURATION)
    steam.notes.cancel_at = "retrying"
    with pytest.raises(Cancelled):
        steam.install(pauses=(3600.0,))


def test_a_cancel_is_heard_while_copying_and_the_copy_is_made_anew(steam: Steam) -> None:
    steam.plays(GOOD, newest("200"), newest("200"), {"downloads": 1, "build": "200"})
    steam.install()
    steam.notes.cancel_at = "copying"
    with pytest.raises(Cancelled):
        steam.install()
    steam.notes.cancel_at = ""
    assert (steam.install().path / "left4dead2/cfg/valve.rc").exists()


@pytest.mark.parametrize("word", ['a"b', "a\nquit", "a\0"])
def test_a_login_that_would_break_out_of_the_script_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="quote"):
        Login(username="gordon", password=word)


@pytest.fixture
def archive_server() -> Iterator[tuple[str, dict[str, bytes]]]:
    served: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = served.get("archive", b"")
            self.send_response(200 if body else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/steamcmd_linux.tar.gz", served
    server.shutdown()
    thread.join()
    server.server_close()


def archive(*members: tuple[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in members:
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(text), 0o755
            tar.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


def test_steamcmd_is_fetched_once(tmp_path: Path, archive_server, monkeypatch: pytest.MonkeyPatch) -> None:
    url, served = archive_server
    monkeypatch.setattr(bootstrap.shutil, "which", lambda *_, **__: None)
    served["archive"] = archive(("steamcmd.sh", "#!/bin/sh"), ("linux32/steamclient.so", "x"))
    hosts = AllowedHosts.parse([url.rpartition("/")[0]])
    for _ in range(2):
        found = bootstrap.steamcmd(tmp_path / "steamcmd", watch=Notes(), url=url, hosts=hosts)
        served.clear()
    assert found.program == tmp_path / "steamcmd/steamcmd.sh"
    assert found.program.stat().st_mode & 0o100
    assert (tmp_path / "steamcmd/linux32/steamclient.so").read_text() == "x"


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil"])
def test_an_archive_that_leaves_its_directory_is_refused(
    tmp_path: Path, archive_server, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    url, served = archive_server
    monkeypatch.setattr(bootstrap.shutil, "which", lambda *_, **__: None)
    served["archive"] = archive(("steamcmd.sh", "x"), (name, "x"))
    hosts = AllowedHosts.parse([url.rpartition("/")[0]])
    with pytest.raises(bootstrap.BootstrapFailed, match="extracted"):
        bootstrap.steamcmd(tmp_path / "steamcmd", watch=Notes(), url=url, hosts=hosts)
    assert not (tmp_path / "evil").exists()


def test_steam_out_of_reach_is_told_in_words(tmp_path: Path, archive_server, monkeypatch: pytest.MonkeyPatch) -> None:
    url, _ = archive_server
    monkeypatch.setattr(bootstrap.shutil, "which", lambda *_, **__: None)
    hosts = AllowedHosts.parse([url.rpartition("/")[0]])
    with pytest.raises(bootstrap.BootstrapFailed, match="could not be downloaded"):
        bootstrap.steamcmd(tmp_path / "steamcmd", watch=Notes(), url=url, hosts=hosts)
