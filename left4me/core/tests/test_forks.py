"""A forked function behaves as a program of its own. Each test forks in an interpreter that has a single thread."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from left4me.core.processes import commands, procfs

pytestmark = pytest.mark.timeout(60)

_HEAD = """
import atexit, os, signal, sys, threading, time
from pathlib import Path
from left4me.core.processes import forks
"""
_END = """
fork = forks.start(body, name="left4me-forked")
output = fork.stdout.read()
while fork.poll() is None:
    time.sleep(0.01)
print(fork.returncode, output.decode(), end="")
"""


def run(body: str, *, end: str = _END) -> str:
    """What `body`, the text of a function of this name, printed as a fork, behind its status."""
    argv = [sys.executable, "-c", _HEAD + body + end]
    return commands.run(argv, timeout=30, cwd=Path(__file__).resolve().parents[3]).output


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("def body(): return None", "0"),
        ("def body(): return 7", "7"),
        ("def body(): sys.exit(3)", "3"),
        ("def body(): sys.exit()", "0"),
        ("def body(): sys.exit('words')", "1"),
        ("def body(): os.kill(os.getpid(), signal.SIGKILL)", "-9"),
    ],
)
def test_its_status_is_that_of_a_program(body: str, status: str):
    assert run(body).split()[0] == status


def test_an_exception_ends_it_with_a_traceback_on_its_output():
    status, *lines = run("def body(): raise RuntimeError('the reason')").splitlines()
    assert status.startswith("1 Traceback")
    assert lines[-1] == "RuntimeError: the reason"


def test_it_ends_as_an_interpreter_does_after_its_threads_and_its_functions():
    body = """
def late():
    time.sleep(0.2)
    print("the thread")
def body():
    atexit.register(print, "the function")
    threading.Thread(target=late).start()
"""
    assert run(body).splitlines() == ["0 the thread", "the function"]


def test_it_leads_a_session_and_has_a_name_and_nothing_open_of_the_caller():
    body = """
held = open("/proc/self/status")
def body():
    print(os.getsid(0) == os.getpid(), Path("/proc/self/comm").read_text().strip())
    print(sorted(each for each in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{each}")))
    print(sys.stdin.read() == "")
"""
    assert run(body).splitlines() == ["0 True left4me-forked", "['0', '1', '2']", "True"]


def test_signals_have_the_effect_that_they_have_on_a_program_and_not_that_of_the_caller():
    body = """
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda *_: None)
def body():
    print(signal.getsignal(signal.SIGINT) is signal.default_int_handler, signal.pthread_sigmask(signal.SIG_BLOCK, []))
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(30)
"""
    assert run(body).split() == ["-15", "True", "set()"]


def test_its_group_can_be_ended_as_soon_as_it_is_started():
    end = """
for _ in range(20):
    fork = forks.start(body, name="left4me-forked")
    os.killpg(fork.pid, signal.SIGTERM)
    fork.stdout.read()
print("all ended")
"""
    assert run("def body(): time.sleep(60)", end=end) == "all ended"


def test_it_ends_with_its_caller():
    body = "def body(): time.sleep(60)"
    end = """
print(forks.start(body, name="left4me-forked").pid)
sys.stdout.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""
    with pytest.raises(commands.CommandFailed) as killed:
        run(body, end=end)
    pid = int(killed.value.tail)
    deadline = time.monotonic() + 20
    while procfs.is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not procfs.is_alive(pid)


def test_a_supervisor_forks_a_body_again_that_was_killed():
    body = """
from left4me.core.processes import app_supervisor
app_supervisor._LONGEST_PAUSE = 0.01
loaded = [os.getpid()]
def body():
    print("loaded by", loaded[0] == os.getppid())
    sys.stdout.flush()
    time.sleep(60)
"""
    end = """
supervisor = app_supervisor.Supervisor(cwd=Path("/"), env=os.environ)
service = app_supervisor.Service("web", body=body)
supervisor.start(service)
pids = []
def look():
    if service.process is not None and service.process.pid not in pids:
        pids.append(service.process.pid)
        if len(pids) == 3:
            supervisor.stop()
        else:
            time.sleep(0.2)
            os.kill(service.process.pid, signal.SIGKILL)
supervisor.run(each_turn=look)
"""
    lines = run(body, end=end).splitlines()
    assert [line for line in lines if "loaded" in line][:2] == ["    web | loaded by True"] * 2
    assert len([line for line in lines if "web ended with status -9; starting it again" in line]) == 2
