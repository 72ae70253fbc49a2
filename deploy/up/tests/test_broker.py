"""The broker of bin/up comes up although the machine's own Redis is missing or does not run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.up import __main__ as up
from left4me.core.processes import app_supervisor
from left4me.core.processes.app_supervisor import Supervisor
from left4me.core.redis import broker

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    """One that restarts at once, on a machine whose own programs are those in `tmp_path`."""
    monkeypatch.setattr(app_supervisor, "_LONGEST_PAUSE", 0.01)
    monkeypatch.setenv("PATH", str(tmp_path))
    with (tmp_path / "lines").open("wb") as lines:
        made = Supervisor(cwd=tmp_path, env=os.environ, out=lines.fileno())
        yield made
        made.stop()


def own_redis(folder: Path, words: str) -> Path:
    path = folder / "redis-server"
    path.write_text(f"#!/bin/sh\n{words}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("words", ["exit 127", "kill -9 $$"], ids=["without a library", "killed"])
def test_a_redis_of_the_machine_that_does_not_run_is_replaced_by_the_embedded_one(
    supervisor: Supervisor, tmp_path: Path, words: str
):
    own_redis(tmp_path, words)
    up._start_broker(supervisor, tmp_path)
    assert broker.answers(broker.socket_path(tmp_path))
    assert (tmp_path / "lines").read_text().count("broker ended with status") == 2


def test_without_a_redis_of_the_machine_the_embedded_one_serves_from_the_start(supervisor: Supervisor, tmp_path: Path):
    up._start_broker(supervisor, tmp_path)
    assert broker.answers(broker.socket_path(tmp_path))
    assert not (tmp_path / "lines").read_text()


def test_one_that_fell_after_it_served_is_started_again_before_the_other_takes_its_place(tmp_path: Path, monkeypatch):
    own = own_redis(tmp_path, "exit 1")
    monkeypatch.setenv("PATH", str(tmp_path))
    first, *others = broker.programs()
    assert first == own and len(others) == 1
    programs = [broker.command(tmp_path / "sock", tmp_path, failed=failed)[0] for failed in range(3)]
    assert programs == [str(own), str(others[0]), str(own)]


def test_where_no_program_starts_the_message_names_the_log(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    own_redis(tmp_path, "exit 1")
    monkeypatch.setattr(up, "_BROKER_SECONDS", 0.5)
    monkeypatch.setattr(broker.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(up.CannotStart, match=r"See .*broker\.log"):
        up._start_broker(supervisor, tmp_path)
