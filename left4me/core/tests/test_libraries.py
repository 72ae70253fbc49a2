"""The 32-bit libraries of the game: which are missing, and the packages that hold them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from left4me.core.processes import libraries


@pytest.fixture
def machine(tmp_path: Path, monkeypatch) -> Path:
    """A machine without 32-bit libraries: its loader would be `ld`, its libraries lie in `lib32`."""
    monkeypatch.setattr(libraries, "_LOADERS", (str(tmp_path / "none"), str(tmp_path / "ld")))
    monkeypatch.setattr(libraries, "_DIRECTORIES", (str(tmp_path / "none"), str(tmp_path / "lib32")))
    (tmp_path / "lib32").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("names", "packages"),
    [
        ((), "lib32gcc-s1 lib32stdc++6 lib32z1"),
        (("libstdc++.so.6",), "lib32stdc++6"),
        (("libz.so.1", "libc.so.6", "ld-linux.so.2"), "libc6-i386 lib32z1"),
        (("libz.so.1", "libodd.so.1"), "lib32z1"),
        (("libodd.so.1",), "lib32gcc-s1 lib32stdc++6 lib32z1"),
    ],
)
def test_a_command_installs_the_packages_of_what_is_missing(names: tuple[str, ...], packages: str):
    assert libraries.install_command(names) == f"apt-get install {packages}"


def test_what_a_machine_lacks_is_what_lies_in_none_of_its_folders(machine: Path):
    assert libraries.missing() == list(libraries.PACKAGE_OF)
    (machine / "ld").touch()
    (machine / "lib32/libz.so.1").touch()
    assert libraries.missing() == ["libc.so.6", "libgcc_s.so.1", "libstdc++.so.6"]


def test_the_loader_is_found_or_missed(machine: Path):
    with pytest.raises(FileNotFoundError, match="loader for 32-bit programs is missing"):
        libraries.loader()
    (machine / "ld").touch()
    assert libraries.loader() == str(machine / "ld")


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"\x7fELF\x01", True), (b"\x7fELF\x01\x01", True), (b"\x7fELF\x02", False), (b"\x7fEL", False), (b"", False)],
)
def test_a_program_of_32_bits_is_told_by_its_head(tmp_path: Path, content: bytes, expected: bool):
    (tmp_path / "program").write_bytes(content)
    assert libraries.is_32_bit(tmp_path / "program") is expected
    assert not libraries.is_32_bit(tmp_path / "missing")


@pytest.fixture
def ldd(monkeypatch) -> dict[str, Any]:
    """What ldd is asked; it says that two libraries and a version are missing."""
    asked: dict[str, Any] = {}

    def run(argv: list[Any], **options: Any) -> SimpleNamespace:
        asked.update(options, argv=argv)
        return SimpleNamespace(
            output="./x: /lib32/libz.so.1: version `ZLIB_9' not found (required by ./x)\n"
            "\tlibb.so.1 => not found\n\tlibc.so.6 => /lib32/libc.so.6 (0xf7)\n\tliba.so.2 => not found\n"
        )

    monkeypatch.setattr(libraries.commands, "run", run)
    return asked


def test_the_loader_says_what_a_program_lacks(machine: Path, ldd: dict[str, Any]):
    program = machine / "program"
    program.write_bytes(b"\x7fELF\x01")
    assert libraries.missing_of(program) == ["ld-linux.so.2"]
    assert not ldd
    (machine / "ld").touch()
    found = libraries.missing_of(program, library_path=[Path("/a"), Path("/b")])
    assert found == ["ZLIB_9", "liba.so.2", "libb.so.1"]
    assert ldd["argv"] == ["ldd", program]
    assert (ldd["env"]["LD_LIBRARY_PATH"], ldd["env"]["LC_ALL"], ldd["check"]) == ("/a:/b", "C", False)
    assert ldd["env"]["PATH"]


def test_a_program_of_64_bits_lacks_nothing_of_32(machine: Path, ldd: dict[str, Any]):
    (machine / "program").write_bytes(b"\x7fELF\x02")
    assert libraries.missing_of(machine / "program") == []
    assert not ldd
