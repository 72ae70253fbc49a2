from __future__ import annotations

from pathlib import Path

import pytest

from left4me.core.processes import libraries
from servers.gamehost.tests.i386 import game


def test_the_command_names_each_package_once_and_only_those_that_are_needed() -> None:
    assert libraries.install_command(["libz.so.1"]) == "apt-get install lib32z1"
    assert libraries.install_command(["libc.so.6", "ld-linux.so.2"]) == "apt-get install libc6-i386"
    everything = "apt-get install lib32gcc-s1 lib32stdc++6 lib32z1"
    assert libraries.install_command() == libraries.install_command(["libunknown.so.1"]) == everything


def test_what_is_no_32_bit_program_misses_nothing(tmp_path: Path) -> None:
    (tmp_path / "script").write_text("#!/bin/sh\n")
    for path in (tmp_path / "script", tmp_path / "gone", Path("/bin/sh")):
        assert libraries.missing_of(path) == []


def test_without_the_loader_a_32_bit_program_misses_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "_LOADERS", ())
    (tmp_path / "srcds_linux").write_bytes(b"\x7fELF\x01\x01\x01")
    assert libraries.missing_of(tmp_path / "srcds_linux") == ["ld-linux.so.2"]
    assert "ld-linux.so.2" in libraries.missing()


@pytest.mark.i386
def test_the_loader_tells_what_a_32_bit_program_misses(tmp_path: Path) -> None:
    game.build(tmp_path)
    assert libraries.missing_of(tmp_path / "srcds_linux") == []
    library = tmp_path / "bin/libneeded.so"
    game.compile_library("int needed;", library)
    game.compile_library("extern int needed; int *other(void) { return &needed; }", tmp_path / "bin/user.so", library)
    assert libraries.missing_of(tmp_path / "bin/user.so", library_path=[tmp_path / "bin"]) == []
    library.unlink()
    assert libraries.missing_of(tmp_path / "bin/user.so", library_path=[tmp_path / "bin"]) == ["libneeded.so"]
