"""What the doctor finds about a machine: its disk, its clock, its ports and the programs that games need."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sqlite3
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest

from deploy.doctor import findings, machine
from deploy.doctor.findings import Finding, fault, ok, warning
from left4me.core.files import room
from left4me.core.processes import commands, libraries

GIB = 1024**3


def raising(error: Exception) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def programs(*names: str) -> Callable[..., str | None]:
    """Only these are installed."""
    return lambda name, path=None: f"/usr/bin/{name}" if name in names else None


@pytest.mark.parametrize(
    ("free", "game", "level"),
    [
        (2 * GIB - 1, "simulated", "fault"),
        (2 * GIB, "simulated", "ok"),
        (2 * GIB, "steam", "warning"),
        (25 * GIB - 1, "steam", "warning"),
        (25 * GIB, "steam", "ok"),
    ],
)
def test_the_real_game_needs_more_room(monkeypatch: pytest.MonkeyPatch, free: int, game: str, level: str):
    monkeypatch.setattr(room, "free", lambda path: free)
    finding = machine.disk(Path("/data"), game=game)
    assert (finding.check, finding.level) == ("disk", level)
    assert finding.message == f"{free / GIB:.1f} GiB free under /data"
    assert bool(finding.cure) is (level != "ok")


@pytest.mark.parametrize(("theirs", "level"), [(70.0, "ok"), (130.0, "ok"), (69.9, "fault"), (130.1, "fault")])
def test_clocks_may_differ_by_half_a_minute(theirs: float, level: str):
    finding = machine.clock(ours=100.0, theirs=theirs, whose="Redis")
    assert (finding.check, finding.level) == ("clock", level)
    if level == "fault":
        assert finding.message == "differs from Redis by 30 s"


def test_the_oldest_sqlite_that_is_new_enough(monkeypatch: pytest.MonkeyPatch):
    assert machine.python().level == "ok"
    for version, level in (((3, 35, 0), "ok"), ((3, 34, 9), "fault")):
        monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
        assert machine.python().level == level


def test_a_machine_without_ipv4_can_run_no_games(monkeypatch: pytest.MonkeyPatch):
    assert machine.loopback().level == "ok"

    class Without(socket.socket):
        def bind(self, address: object) -> None:
            assert address == ("127.0.0.1", 0)
            raise OSError(99, "Cannot assign requested address")

    monkeypatch.setattr(socket, "socket", Without)
    finding = machine.loopback()
    assert (finding.check, finding.level) == ("loopback", "fault")
    assert "Cannot assign requested address" in finding.message


def test_ports_of_other_programs_are_counted_and_a_few_named(monkeypatch: pytest.MonkeyPatch):
    taken: set[int] = set()
    monkeypatch.setattr(machine, "is_free", lambda port: port not in taken)
    finding = machine.ports(range(27015, 27026), in_use_by_us=frozenset())
    assert (finding.level, finding.message) == ("ok", "27015-27025 free, except for ports of left4me servers")
    taken = {27015, 27016, 27017, 27018, 27019, 27020}
    finding = machine.ports(range(27015, 27026), in_use_by_us=frozenset({27015}))
    assert finding.level == "warning"
    assert finding.message.endswith("5 of the ports 27015-27025: 27016, 27017, 27018, 27019, 27020")
    assert "sport = :27016'" in finding.cure
    finding = machine.ports(range(27015, 27026), in_use_by_us=frozenset())
    assert finding.message.endswith("6 of the ports 27015-27025: 27015, 27016, 27017, 27018, 27019 …")


def test_an_overlay_is_really_mounted_below_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ran: list[list[str]] = []

    def run(argv: list[str], *, timeout: float) -> None:
        ran.append(argv)
        assert (Path(argv[-1]) / "lower/probe").read_text() == "seen"
        assert {path.name for path in Path(argv[-1]).iterdir()} == {"lower", "upper", "work", "merged"}

    monkeypatch.setattr(commands, "run", run)
    assert machine.overlayfs(tmp_path).level == "ok"
    assert ran[0][:5] == ["unshare", "--user", "--map-root-user", "--mount", "sh"]
    assert Path(ran[0][-1]).parent == tmp_path
    assert list(tmp_path.iterdir()) == []
    assert machine.overlayfs(tmp_path / "missing").level == "ok"
    assert not Path(ran[1][-1]).is_relative_to(tmp_path)


@pytest.mark.parametrize(("installed", "level"), [(["fuse-overlayfs"], "warning"), ([], "fault")])
def test_a_kernel_that_mounts_no_overlays_needs_fuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: list[str], level: str
):
    monkeypatch.setattr(commands, "run", raising(commands.CommandError("unshare failed\nmount: not permitted")))
    monkeypatch.setattr(shutil, "which", programs(*installed))
    finding = machine.overlayfs(tmp_path)
    assert (finding.check, finding.level) == ("overlayfs", level)
    assert "mount: not permitted" in finding.message and "unshare failed" not in finding.message
    assert finding.cure.endswith("Or install fuse-overlayfs.") is (level == "fault")


@pytest.mark.parametrize(
    ("installed", "usable", "level"),
    [(False, False, "ok"), (True, False, "warning"), (True, True, "ok")],
)
def test_fuse_needs_its_device(monkeypatch: pytest.MonkeyPatch, installed: bool, usable: bool, level: str):
    monkeypatch.setattr(shutil, "which", programs("fuse-overlayfs") if installed else programs())
    monkeypatch.setattr(os, "access", lambda path, mode: usable and (path, mode) == ("/dev/fuse", os.R_OK | os.W_OK))
    finding = machine.fuse_overlayfs()
    assert (finding.check, finding.level) == ("fuse-overlayfs", level)
    assert ("fallback" in finding.message) is (installed and usable)


@pytest.mark.parametrize(
    ("installed", "message"),
    [
        (["bsdtar"], "bwrap missing: script overlays and 7z, rar and xz archives do not work"),
        (["bwrap"], "bsdtar missing: 7z, rar and xz archives do not work"),
        ([], "bwrap and bsdtar missing: script overlays and 7z, rar and xz archives do not work"),
    ],
)
def test_what_does_not_work_without_the_programs_for_archives_is_named(
    monkeypatch: pytest.MonkeyPatch, installed: list[str], message: str
):
    monkeypatch.setattr(shutil, "which", programs(*installed))
    finding = machine.archives()
    assert (finding.check, finding.level, finding.message) == ("archives", "warning", message)


def test_bsdtar_is_tried_in_its_sandbox(monkeypatch: pytest.MonkeyPatch):
    ran: list[list[str]] = []
    monkeypatch.setattr(shutil, "which", programs("bwrap", "bsdtar"))
    monkeypatch.setattr(commands, "run", lambda argv, timeout: ran.append(list(map(str, argv))))
    assert machine.archives().level == "ok"
    assert ran[0][-2:] == ["/usr/bin/bsdtar", "--version"]
    assert {"--net", "bwrap", "--fsize=0", f"--as={2 * GIB}"} <= set(ran[0])
    monkeypatch.setattr(commands, "run", raising(commands.CommandError("bwrap ended\nno namespaces")))
    finding = machine.archives()
    assert (finding.level, finding.message) == ("warning", "bsdtar can't run in a sandbox: no namespaces")


def test_the_kernel_is_asked_whether_it_runs_32_bit_programs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(libraries, "missing", list)
    monkeypatch.setattr(libraries, "loader", lambda: "/lib/ld-linux.so.2")
    monkeypatch.setattr(commands, "run", lambda argv, timeout: None)
    assert machine.libraries_32_bit(game="steam").level == "ok"
    for error in (commands.CommandError("it\nExec format error"), OSError("Exec format error")):
        monkeypatch.setattr(commands, "run", raising(error))
        finding = machine.libraries_32_bit(game="steam")
        assert finding.level == "fault"
        assert finding.message.endswith("32-bit programs: Exec format error")


def test_of_a_missing_library_the_package_is_named_if_it_is_one_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    known = next(iter(libraries.PACKAGE_OF))
    missing = {"srcds_linux": ["libown.so"], "engine.so": ["libsteam_api.so", known], "steamclient.so": []}
    for name in ("srcds_linux", "bin/engine.so", "bin/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    searched: set[tuple[Path, ...]] = set()

    def missing_of(program: Path, *, library_path: list[Path]) -> list[str]:
        searched.add(tuple(library_path))
        return missing[program.name]

    monkeypatch.setattr(libraries, "missing_of", missing_of)
    finding = machine.game_libraries(tmp_path, game="steam")
    assert finding.level == "fault"
    assert finding.message == f"not found: libown.so (for srcds_linux), {known} (for engine.so)"
    assert searched == {(tmp_path / "bin", tmp_path)}
    missing |= {"srcds_linux": [], "engine.so": ["libsteam_api.so"]}
    finding = machine.game_libraries(tmp_path, game="steam")
    assert (finding.level, finding.message) == ("ok", "2 programs and libraries have all dependencies")
    assert machine.game_libraries(tmp_path, game="simulated").message == "not needed for the simulated game"
    assert machine.game_libraries(None, game="steam").message == "the game is not installed yet"


def test_steamcmd_is_our_own_else_debians_else_it_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    searched: list[str] = []
    found: list[str] = []

    def which(name: str, path: str) -> str | None:
        searched.append(path)
        return name if name in found else None

    monkeypatch.setattr(shutil, "which", which)
    monkeypatch.setattr(libraries, "missing_of", lambda program, library_path: [])
    assert machine.steamcmd(tmp_path, game="simulated").message == "not needed for the simulated game"
    assert machine.steamcmd(tmp_path, game="steam").level == "warning"
    assert searched[-1].endswith(":/usr/games")
    found.append("steamcmd")
    assert machine.steamcmd(tmp_path, game="steam") == ok("steamcmd", "present")
    (tmp_path / "steamcmd/home").mkdir(parents=True)
    assert machine.steamcmd(tmp_path, game="steam") == ok("steamcmd", "present")
    (tmp_path / "steamcmd/linux32").mkdir()
    (tmp_path / "steamcmd/linux32/steamcmd").touch()
    assert machine.steamcmd(tmp_path, game="steam").message == "1 programs and libraries have all dependencies"
    monkeypatch.setattr(libraries, "missing_of", lambda program, library_path: ["libany.so"])
    assert machine.steamcmd(tmp_path, game="steam").message == "not found: libany.so (for steamcmd)"


def test_a_check_that_breaks_is_a_fault_and_the_others_go_on():
    found = findings.examine(
        {
            "one": lambda: ok("one", "fine"),
            "broken": raising(ValueError("what")),  # type: ignore[dict-item]
            "several": lambda: [warning("two", "slow", "Wait."), ok("three", "fine")],
        }
    )
    assert [(each.check, each.level) for each in found] == [
        ("one", "ok"),
        ("broken", "fault"),
        ("two", "warning"),
        ("three", "ok"),
    ]
    assert found[1].message == "check failed: what"


@pytest.mark.parametrize(("level", "status"), [("ok", 0), ("warning", 0), ("fault", 1)])
def test_only_a_fault_is_an_error_of_the_command(level: findings.Level, status: int):
    finding = Finding("disk", level, "2 GiB free", "Free some.")
    for as_json in (False, True):
        assert findings.report([ok("web", "fine"), finding], write=StringIO().write, as_json=as_json) == status


def test_the_report_is_aligned_and_each_cure_has_a_line():
    out = StringIO()
    found = [ok("web", "fine"), fault("disk", "full", "Free some.")]
    findings.report(found, write=out.write, as_json=False)
    assert out.getvalue() == "ok      web: fine\nFAULT   disk: full\n        → Free some.\n"
    out = StringIO()
    findings.report(found, write=out.write, as_json=False, styles={"ok": str.upper, "fault": str.lower})
    assert out.getvalue().startswith("OK      web: fine\nfault   disk: full\n")


def test_the_versions_of_python_and_sqlite_are_told():
    assert machine.python().message == f"Python {platform.python_version()} with SQLite {sqlite3.sqlite_version}"
