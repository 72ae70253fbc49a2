"""The programs of the game in overlays: which files are some, where they are looked for, and what a build records."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from left4me.core.files.tree import Tree
from overlays import contents, game_files, paths
from overlays.models import Overlay, OverlayContents
from overlays.tests.factories import make_overlay

PROGRAMS = [
    "srcds_run",
    "srcds_linux",
    "SRCDS.exe",
    "srcds_run.sh",
    "steamcmd.sh",
    "bin/engine_srv.so",
    "BIN/x.DLL",
    "bin/below/x.so.1.2",
    "left4dead2/bin/server_srv.so",
    "left4dead2_dlc1/bin/x.so",
]
OTHERS = [
    "srcds_run.txt",
    "left4dead2/cfg/srcds_runner.cfg",
    "bin/readme.txt",
    "left4dead2/addons/metamod/bin/server.so",
    "addons/bin/x.so",
    "binaries/x.so",
    "left4dead2/maps/x.so",
]


def lay(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("path", PROGRAMS + OTHERS)
def test_a_program_is_known_by_its_path(path: str):
    assert game_files.is_program(tuple(path.split("/"))) is (path in PROGRAMS)


def test_programs_are_found_where_the_game_is_started_from(tmp_path: Path):
    lay(tmp_path, *PROGRAMS, *OTHERS, "left4dead2/Bin/x.so", "deep/er/bin/x.so")
    found = contents.find_programs(tmp_path)
    assert found == {path: digest(path) for path in [*PROGRAMS, "left4dead2/Bin/x.so"]}
    assert list(found) == sorted(found, key=lambda path: path.split("/"))


def test_a_link_in_the_place_of_programs_counts_by_what_it_leads_to(tmp_path: Path):
    (tmp_path / "left4dead2" / "cfg").mkdir(parents=True)
    (tmp_path / "addons").mkdir()
    for name in ("bin", "left4dead2/bin", "srcds_run", "addons/bin", "other", "left4dead2/cfg/bin"):
        (tmp_path / name).symlink_to("target")
    found = contents.find_programs(tmp_path)
    assert found == dict.fromkeys(["bin", "left4dead2/bin", "srcds_run"], digest("link to target"))
    (tmp_path / "bin").unlink()
    (tmp_path / "bin").symlink_to("elsewhere")
    assert contents.find_programs(tmp_path)["bin"] == digest("link to elsewhere")


def test_a_walk_lists_the_same_programs_and_all_other_files(tmp_path: Path):
    lay(tmp_path, *PROGRAMS, *OTHERS)
    (tmp_path / "left4dead2" / "cfg" / "bin").symlink_to("x")
    (tmp_path / "Left4dead2").mkdir()
    (tmp_path / "Left4dead2" / "Bin").symlink_to("x")
    listing = contents.Listing()
    with Tree(tmp_path) as tree:
        listing.take(("folder",), tree.node(("bin",)))
        for where, node in tree.walk():
            listing.take(where, node)
    assert sorted(listing.paths) == sorted([*PROGRAMS, *OTHERS, "left4dead2/cfg/bin", "Left4dead2/Bin"])
    assert sorted("/".join(where) for where in listing.programs) == sorted([*PROGRAMS, "Left4dead2/Bin"])


@pytest.fixture
def overlay(db: None, left4me_root: Path) -> Overlay:
    made = make_overlay()
    lay(paths.directory(made), "srcds_run", "left4dead2/cfg/Server.cfg")
    return made


def test_a_build_records_the_files_those_of_the_game_they_hide_and_the_programs(overlay: Overlay, left4me_root: Path):
    game = left4me_root / "game" / "current"
    lay(game, "left4dead2/cfg/server.cfg", "left4dead2/cfg/other.cfg", "SRCDS_run")
    listing = contents.Listing(["srcds_run", "left4dead2/cfg/Server.cfg"], [("srcds_run",)])
    with Tree(paths.directory(overlay)) as tree:
        contents.record(overlay, listing, tree=tree)
        contents.record(overlay, listing, tree=tree)
    row = OverlayContents.objects.get()
    assert row.paths == ["srcds_run", "left4dead2/cfg/Server.cfg"]
    assert row.game_paths == ["SRCDS_run", "left4dead2/cfg/server.cfg"]
    overlay.refresh_from_db()
    assert overlay.programs == {"srcds_run": digest("srcds_run")}


def test_a_start_looks_again_and_only_what_is_allowed_as_it_is_now_passes(overlay: Overlay, settings):
    root = paths.directory(overlay)
    assert contents.refused_programs(overlay, root=root) == ["srcds_run"]
    overlay.refresh_from_db()
    assert overlay.programs == {"srcds_run": digest("srcds_run")}
    contents.allow_found(overlay, root=root)
    overlay.refresh_from_db()
    assert overlay.allowed_programs == {"srcds_run": digest("srcds_run")}
    assert contents.refused_programs(overlay, root=root) == []
    lay(root, "bin/x.so")
    (root / "srcds_run").write_text("changed")
    assert contents.refused_programs(overlay, root=root) == ["bin/x.so", "srcds_run"]


def test_another_host_records_nothing_about_programs(overlay: Overlay, settings, django_assert_num_queries):
    settings.LEFT4ME_WEB_URL = "https://web"
    with django_assert_num_queries(0):
        assert contents.refused_programs(overlay, root=paths.directory(overlay)) == ["srcds_run"]


@pytest.mark.parametrize(
    ("folder", "is_read"),
    [
        ("left4dead2", True),
        ("Left4Dead2/Addons", True),
        ("left4dead2/bin", True),
        ("left4dead2/other", False),
        ("left4dead2_dlc1/maps", True),
        ("left4dead2_dlc3", True),
        ("update", True),
        ("platform/x", True),
        ("hl2", True),
        ("left4dead", False),
        ("addons", False),
        ("", False),
    ],
)
def test_the_folders_that_the_game_reads_are_known(folder: str, is_read: bool):
    assert game_files.is_read_by_game(folder) is is_read


@pytest.mark.parametrize(
    ("path", "is_read"),
    [
        ("any/where/x.CFG", True),
        ("left4dead2/mapcycle.txt", True),
        ("left4dead2/scripts/x.nut", True),
        ("left4dead2/Addons/sourcemod/x.ini", True),
        ("left4dead2/missions/deep/x.vdf", True),
        ("left4dead2/resource/x.txt", False),
        ("left4dead2/cfg/x.dat", False),
        ("other/mapcycle.txt", False),
    ],
)
def test_texts_that_the_game_reads_as_utf8_are_known_by_their_path(path: str, is_read: bool):
    where = tuple(path.split("/"))
    assert game_files.is_read_as_utf8(where) is is_read
    assert game_files.needs_converting(where, "x".encode("utf-16")) is is_read
    assert game_files.needs_converting(where, b"x" * 9) is False


def test_all_texts_that_the_game_could_not_read_are_converted(tmp_path: Path):
    largest = 1024 * 1024
    texts = {
        "a.cfg": "\ufeffx".encode(),
        "b.cfg": "x".encode("utf-16-le") * 4,
        "c.cfg": b"plain",
        "d.txt": "\ufeffx".encode(),
        "e.cfg": b"\xef\xbb\xbf" + b"x" * (largest - 3),
        "f.cfg": b"\xef\xbb\xbf" + b"x" * (largest - 2),
    }
    for name, content in texts.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "link.cfg").symlink_to("a.cfg")
    with Tree(tmp_path) as tree:
        converted = dict(game_files.convert_all(tree, [*texts, "link.cfg", "gone.cfg"]))
    assert converted == {
        "a.cfg": "UTF-8 with a byte order mark",
        "b.cfg": "UTF-16",
        "e.cfg": "UTF-8 with a byte order mark",
    }
    assert [(tmp_path / f"{name}.cfg").read_bytes() for name in "abc"] == [b"x", b"xxxx", b"plain"]
    assert (tmp_path / "e.cfg").stat().st_size == largest - 3
    assert (tmp_path / "f.cfg").stat().st_size == largest + 1
    assert game_files.title("cp1252") == "cp1252"


@pytest.mark.parametrize(
    ("name", "head", "is_marked", "is_executable"),
    [
        ("x.txt", b"\x7fELF", False, True),
        ("x", b"#!/bin/sh", False, True),
        ("x", b"text", True, True),
        ("x", b"text", False, False),
        ("x.cfg", b"text", True, False),
    ],
)
def test_what_is_executable_says_so_itself_or_is_marked(name: str, head: bytes, is_marked: bool, is_executable: bool):
    assert game_files.is_executable(("left4dead2", name), head, is_marked=is_marked) is is_executable
