"""A disk that a game has filled: it can be stopped, killed and deleted, by bytes and by inodes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from left4me.core.files import reserve
from servers.gamehost.port import Outcome, State
from servers.gamehost.process.runtime import ProcessRuntime
from servers.gamehost.spec import InstanceSpec
from servers.gamehost.tests.stage import Following, Stage, ask, open_directory, order

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk: run as root")

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FILL = {
    "space": "f = open('left4dead2/big', 'wb', buffering=0)\nwhile True: f.write(b'x' * 65536)",
    "inodes": "import itertools\nfor n in itertools.count(): open(f'left4dead2/{n}', 'w').close()",
}


class _Runtime(Following, ProcessRuntime):
    pass


@pytest.fixture(params=["space", "inodes"])
def full(request: pytest.FixtureRequest) -> Iterator[tuple[Stage, InstanceSpec]]:
    """Two games on a disk of their own, which the first has filled; and the spec of the second."""
    with open_directory() as base:
        disk = base / "disk"
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24M,nr_inodes=2000,mode=755", "none", disk], check=True)
        stage = Stage(disk / "root", _Runtime(root=disk / "root"))
        try:
            filler, other = (stage.start(stage.spec(number)) for number in (1, 2))
            assert ask(filler, FILL[request.param])["words"].startswith("[Errno 28]")
            yield stage, other
        finally:
            stage.clear()
            subprocess.run(["umount", "--lazy", disk], check=True)


Full = tuple[Stage, InstanceSpec]


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_game_that_has_filled_the_disk_can_be_ended_and_counts_as_stopped(full: Full, end: str):
    stage, _other = full
    assert getattr(stage.runtime, end)(1) in {Outcome.STOPPED, Outcome.KILLED}
    assert stage.runtime.observe([1])[1].state is State.STOPPED


def test_it_can_be_deleted_which_makes_room(full: Full):
    stage, _other = full
    stage.runtime.kill(1)
    assert stage.runtime.delete(1, now=NOW) is Outcome.DELETED
    assert not (stage.root / "servers/1").exists()
    (stage.root / "again").write_text("x" * 100_000)


def test_another_game_that_crashes_meanwhile_can_be_ended_too(full: Full):
    stage, other = full
    order(other, "import os; os.kill(os.getpid(), 9)")
    assert stage.runtime.stop(2) in {Outcome.STOPPED, Outcome.KILLED, Outcome.ALREADY_STOPPED}
    assert stage.runtime.observe([2])[2].state is State.STOPPED


def test_a_reserve_is_kept_while_there_is_plenty_and_given_up_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reserve, "_PLENTY", 1 << 62)
    reserve.keep(tmp_path)
    assert not (tmp_path / "reserve").exists()
    monkeypatch.setattr(reserve, "_PLENTY", 0)
    reserve.keep(tmp_path)
    assert (tmp_path / "reserve/room").stat().st_blocks * 512 >= reserve.SIZE
    assert len(list((tmp_path / "reserve").iterdir())) > 50
    assert reserve.give_up(tmp_path)
    assert not reserve.give_up(tmp_path)
