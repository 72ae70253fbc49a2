"""What the doctor finds about the real game, and the one list of packages that it and the installer name."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy import installer
from deploy.doctor import machine
from deploy.ops.layout import Layout, Role
from deploy.ops.machine import packages
from left4me.core.processes import libraries
from left4me.testing.testhost import PROJECT
from servers.gamehost.tests.i386 import game


def test_the_installer_installs_what_the_doctor_misses(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(libraries, "_LOADERS", ())
    monkeypatch.setattr(libraries, "_DIRECTORIES", ())
    finding = machine.libraries_32_bit(game="steam")
    assert finding.level == "fault"
    assert "libz.so.1" in finding.message
    named = finding.cure.removeprefix("Run `apt-get install ").removesuffix("`.").split()
    installed = packages.needed(Role.WEB, game="steam", postgres=False, proxy=False)
    # libc6-i386 comes with each of the others.
    assert set(named) - {"libc6-i386"} == set(installed) & set(libraries.PACKAGES) == set(libraries.PACKAGES)
    assert not set(packages.needed(Role.WEB, game="simulated", postgres=False, proxy=False)) & set(libraries.PACKAGES)
    assert machine.libraries_32_bit(game="simulated").level == "ok"
    image = (PROJECT / "deploy/container/Dockerfile").read_text().split()
    assert set(libraries.PACKAGES) <= set(image)


def test_the_installer_ends_with_what_the_game_still_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    layout = Layout(tmp_path)
    layout.data.mkdir(parents=True)
    monkeypatch.setattr(libraries, "_LOADERS", ())
    monkeypatch.setattr(machine.room, "free", lambda path: 3 * 1024**3)
    lacking = installer.game_needs(layout, "steam")
    assert [(finding.check, finding.level) for finding in lacking] == [
        ("32-bit libraries", "fault"),
        ("disk", "warning"),
    ]
    assert installer.game_needs(layout, "simulated") == []


@pytest.mark.i386
def test_a_kernel_that_runs_no_32_bit_programs_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert machine.libraries_32_bit(game="steam").level == "ok"
    loader = tmp_path / "ld-linux.so.2"
    loader.write_bytes(b"\x7fELF\x01 of another machine")
    loader.chmod(0o755)
    monkeypatch.setattr(libraries, "_LOADERS", (str(loader),))
    finding = machine.libraries_32_bit(game="steam")
    assert finding.level == "fault"
    assert "CONFIG_IA32_EMULATION" in finding.cure


@pytest.mark.i386
def test_a_library_that_the_installed_game_misses_is_named(tmp_path: Path):
    assert "not installed yet" in machine.game_libraries(None, game="steam").message
    game.build(tmp_path)
    assert machine.game_libraries(tmp_path, game="steam").level == "ok"
    game.compile_library("int z;", tmp_path / "libz.so.9")
    game.compile_library("extern int z; int *y(void) { return &z; }", tmp_path / "srcds_linux", tmp_path / "libz.so.9")
    (tmp_path / "libz.so.9").unlink()
    finding = machine.game_libraries(tmp_path, game="steam")
    assert (finding.level, finding.message) == ("fault", "not found: libz.so.9 (for srcds_linux)")
    assert "apt-get install" in finding.cure


def test_steamcmds_home_and_program_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    home = tmp_path / "steamcmd/home"
    home.mkdir(parents=True)
    monkeypatch.setattr(machine.os, "access", lambda path, mode: path != home)
    finding = machine.steamcmd(tmp_path, game="steam")
    assert finding.level == "fault"
    assert finding.cure == f"Run `chown -R left4me: {tmp_path / 'steamcmd'}` as root."
