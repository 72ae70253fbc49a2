"""What a server's directory stores, and what it gives back where a file is missing or damaged."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from left4me.core.processes import procfs
from servers.gamehost.directory import ServerDirectory
from servers.gamehost.port import State
from servers.gamehost.sandbox.identity import Identity
from servers.gamehost.spec import InstanceSpec

DAMAGED = ["", "{", "null", "[1", "7", '"x"']


@pytest.fixture
def directory(tmp_path: Path) -> ServerDirectory:
    directory = ServerDirectory(tmp_path / "servers/12")
    directory.prepare()
    directory.prepare()
    return directory


def test_only_the_owner_can_enter_it(directory: ServerDirectory):
    assert directory.server_id == 12
    folders = [directory.path, *(path for path in directory.path.iterdir() if path.is_dir())]
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}
    assert {path.name for path in folders[1:]} == {
        *("upper", "work", "merged", "log", "run", "replaceable", "removals"),
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="root gives files away")
def test_the_writable_layer_belongs_to_the_games_user_if_it_has_one(directory: ServerDirectory):
    directory.hand_over(Identity(uid=64123, gid=64124, by_root=False))
    assert directory.upper.stat().st_uid == 0
    for _again in range(2):
        directory.hand_over(Identity(uid=64123, gid=64124, by_root=True))
        assert {(path.stat().st_uid, path.stat().st_gid) for path in (directory.upper, directory.work)} == {
            (64123, 64124)
        }
    assert directory.logs.stat().st_uid == 0


def spec(**changes: Any) -> InstanceSpec:
    return InstanceSpec(server_id=12, argv=("./srcds_run",), layers=("/game",), port=27015, **changes)


def test_replaceable_files_of_an_earlier_spec_go_and_others_change(directory: ServerDirectory):
    directory.write_spec(spec(replaceable={"cfg/a.ini": "one", "b.ini": "two"}))
    directory.write_spec(spec(replaceable={"cfg/a.ini": "three"}))
    assert directory.has_replaceable("cfg/a.ini") and not directory.has_replaceable("b.ini")
    assert not directory.has_replaceable("cfg")
    file = directory.replaceable / "cfg/a.ini"
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("three", 0o644)
    assert directory.spec_file.stat().st_mode & 0o777 == 0o600, "it holds the RCON password"


def test_a_lock_is_held_once(directory: ServerDirectory):
    assert not directory.is_held()
    lock = directory.try_lock()
    assert lock is not None and directory.try_lock() is None and directory.is_held()
    os.close(lock)
    assert not directory.is_held()
    assert not ServerDirectory(directory.path.with_name("13")).is_held()


def test_starts_wait_for_each_other(directory: ServerDirectory):
    order: list[str] = []

    def start() -> None:
        with directory.starting():
            order.append("second")

    second = threading.Thread(target=start)
    with directory.starting():
        second.start()
        with pytest.raises(BlockingIOError), (directory.path / "run/start.lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        order.append("first")
    second.join(10)
    assert order == ["first", "second"]


def test_whether_an_end_is_expected_is_known_when_it_comes(directory: ServerDirectory):
    assert directory.read_exit() is None
    directory.expect_end(expected=False)
    assert directory.note_exit(3, 5.5) is False
    directory.expect_end(expected=True)
    assert directory.note_exit(137, 6.5) is True
    assert directory.read_exit() == (137, 6.5)
    directory.expect_end(expected=False)
    assert directory.note_exit(0, 7.5) is False


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_file_tells_nothing(directory: ServerDirectory, text: str):
    for name in ("exit.json", "layers.json", "moved.json", "generated.json", "../kept.json"):
        (directory.state_file.parent / name).write_text(text)
    assert directory.read_exit() is None
    assert (directory.read_moved(), directory.read_kept()) == ({}, {})
    if text in ("", "{", "[1"):
        assert (directory.read_layers(), directory.read_generated()) == ([], set())


def test_what_was_noted_is_read_back(directory: ServerDirectory):
    assert (directory.read_layers(), directory.read_moved(), directory.read_kept()) == ([], {}, {})
    directory.note_layers(iter(["/a", "/b"]))
    directory.note_moved({"a": "b"})
    directory.kept_file.write_text(json.dumps({"a.cfg": [5, 7]}))
    assert directory.read_layers() == ["/a", "/b"]
    assert directory.read_moved() == {"a": "b"}
    assert directory.read_kept() == {"a.cfg": (5, 7)}


def test_generated_files_that_are_no_longer_made_are_told(directory: ServerDirectory):
    assert directory.exchange_generated({"a", "b"}) == set()
    assert directory.exchange_generated({"b", "c"}) == {"a"}
    assert directory.exchange_generated({"b", "c"}) == set()
    assert directory.read_generated() == {"b", "c"}


def living() -> dict[str, Any]:
    return {"boot": procfs.boot_id(), "supervisor": procfs.named(os.getpid()), "state": State.RUNNING.value}


@pytest.mark.parametrize(
    ("changed", "pid"),
    [
        ({}, True),
        ({"boot": "another"}, False),
        ({"supervisor": None}, False),
        ({"supervisor": "1"}, False),
    ],
)
def test_a_supervisor_lives_that_was_started_in_this_boot_and_is_the_same_process(
    directory: ServerDirectory, changed: dict[str, Any], pid: bool
):
    directory.write_state({**living(), **changed})
    assert directory.living_supervisor() == (os.getpid() if pid else None)


def test_without_a_readable_state_nobody_lives(directory: ServerDirectory):
    assert (directory.read_state(), directory.living_supervisor(), directory.is_managed()) == (None, None, False)
    for text in ("{", "[]", "{}"):
        directory.state_file.write_text(text)
        assert directory.living_supervisor() is None
    directory.state_file.write_text("[]")
    with pytest.raises(ValueError, match="not an object"):
        directory.read_state()


@pytest.mark.parametrize("state", State)
def test_a_supervisor_manages_a_game_until_it_only_ends(directory: ServerDirectory, state: State):
    directory.write_state({**living(), "state": state.value})
    assert directory.is_managed() is (state not in (State.STOPPED, State.STOPPING, State.GAVE_UP))
    directory.write_state({**living(), "state": state.value, "boot": "another"})
    assert not directory.is_managed()


def test_a_final_state_that_cannot_be_written_is_no_state(directory: ServerDirectory, monkeypatch: pytest.MonkeyPatch):
    directory.write_final_state({**living(), "state": "stopped"})
    assert (directory.read_state() or {})["state"] == "stopped"

    def refuse(state: dict[str, Any]) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(directory, "write_state", refuse)
    directory.write_final_state({})
    assert not directory.state_file.exists()
    directory.write_final_state({})
