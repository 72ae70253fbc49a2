from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from left4me.core.processes import procfs

_RUNS_A_PROGRAM = """
import sys
from left4me.core.processes import commands, process_guard
process_guard.guard_this_process()
commands.run(["echo", "a first one that ends"], timeout=10)
commands.run(
    ["sh", "-c", "sleep 300 & echo $!; trap '' TERM HUP; echo $$; wait"], timeout=300, with_pty={with_pty},
    on_line=lambda line: print(line, flush=True),
)
"""
# As if killed between the announcement and the knowledge of the group: it never says which group was started.
_DIES_BEFORE_IT_KNOWS = """
import os, subprocess
from left4me.core.processes import process_guard
process_guard.guard_this_process()
reader, writer = os.pipe()
process_guard.expect(writer)
child = subprocess.Popen(["sleep", "300"], stdout=writer, start_new_session=True)
print(child.pid, flush=True)
print(os.getpid(), flush=True)
os.close(writer)
import time; time.sleep(300)
"""


def _worker(script: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True)


def _all_vanish(pids: list[int]) -> bool:
    deadline = time.monotonic() + 20
    while any(map(procfs.is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(procfs.is_alive, pids))


@pytest.mark.parametrize(
    "script",
    [_RUNS_A_PROGRAM.format(with_pty=False), _RUNS_A_PROGRAM.format(with_pty=True), _DIES_BEFORE_IT_KNOWS],
    ids=["pipe", "terminal", "just started"],
)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_programs_end_with_the_process_that_ran_them_however_it_dies(script, number):
    with _worker(script) as worker:
        assert worker.stdout is not None
        pids = [int(worker.stdout.readline()), int(worker.stdout.readline())]
        assert all(map(procfs.is_alive, pids))
        worker.send_signal(number)
        worker.wait(20)
        assert _all_vanish(pids)


def test_the_guard_is_started_again_when_it_was_killed(monkeypatch):
    from left4me.core.processes import process_guard

    guard = process_guard.Guard()
    first = guard._process
    try:
        guard.tell("pipe:[1]", 4_000_000)
        first.kill()
        first.wait()
        guard.tell("pipe:[2]", 4_000_001)
        assert guard._process.pid != first.pid
        os.kill(guard._process.pid, 0)
    finally:
        guard.forget("pipe:[1]")
        guard.forget("pipe:[2]")
        for process in (first, guard._process):
            assert process.stdin is not None
            process.stdin.close()
        guard._process.wait(20)
