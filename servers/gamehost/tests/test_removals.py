"""Files of a server that are to be removed: at once while it is stopped, by process 1 while it runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from servers.gamehost import removals
from servers.gamehost.directory import ServerDirectory


@pytest.fixture
def directory(tmp_path: Path) -> ServerDirectory:
    made = ServerDirectory(tmp_path / "servers/1")
    made.prepare()
    (made.upper / "left4dead2").mkdir()
    return made


def write(directory: ServerDirectory, name: str) -> dict[str, int]:
    path = directory.upper / "left4dead2" / name
    path.write_text("x")
    return {f"left4dead2/{name}": path.stat().st_mtime_ns}


def test_files_of_a_stopped_server_are_removed_at_once(directory: ServerDirectory):
    chosen = write(directory, "a.dem")
    write(directory, "b.dem")
    removals.remove(directory, chosen)
    assert removals.left(directory, ["left4dead2/a.dem", "left4dead2/b.dem"]) == ["left4dead2/b.dem"]


def test_process_1_removes_what_the_list_names_from_the_tree_of_the_game(directory: ServerDirectory):
    lock = directory.try_lock()
    errand = removals.Errand(directory.removals, directory.upper)
    errand.run()
    one, two = write(directory, "a.dem"), write(directory, "b.dem")
    removals.remove(directory, one)
    removals.remove(directory, two)
    assert len(removals.left(directory, [*one, *two])) == 2
    errand.run()
    assert removals.left(directory, [*one, *two]) == []
    os.close(lock or 0)


def test_what_was_written_again_and_what_lies_outside_is_left_alone(directory: ServerDirectory, tmp_path: Path):
    changed = dict.fromkeys(write(directory, "a.dem"), 1)
    (tmp_path / "secret").write_text("x")
    at = (tmp_path / "secret").stat().st_mtime_ns
    (directory.upper / "out").symlink_to(tmp_path)
    removals.remove(directory, {**changed, "out/secret": at, "../../../secret": at, str(tmp_path / "secret"): at})
    assert (tmp_path / "secret").exists()
    assert removals.left(directory, changed) == list(changed)


def test_a_start_removes_what_the_last_game_did_not(directory: ServerDirectory):
    lock = directory.try_lock()
    chosen = write(directory, "a.dem")
    removals.remove(directory, chosen)
    removals.settle(directory)
    os.close(lock or 0)
    assert removals.left(directory, chosen) == []
    # The same name in the next game is another file.
    chosen = write(directory, "a.dem")
    removals.Errand(directory.removals, directory.upper).run()
    assert removals.left(directory, chosen)


@pytest.mark.parametrize("text", ["", "[", "[1]", '{"": 1}', '{"a": "x"}', "null", '{"a": [1]}'])
def test_a_list_that_cannot_be_read_removes_nothing(directory: ServerDirectory, text: str):
    (directory.removals / removals.LIST).write_text(text)
    removals.Errand(directory.removals, directory.upper).run()
    removals.settle(directory)
