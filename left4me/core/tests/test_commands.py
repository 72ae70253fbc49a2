from __future__ import annotations

import time

import pytest

from left4me.core.concurrency import Cancelled
from left4me.core.processes import commands, procfs


def test_lines_arrive_in_order_and_the_status_is_returned():
    lines: list[str] = []
    finished = commands.run(["sh", "-c", "echo one; echo two >&2; echo three"], timeout=10, on_line=lines.append)
    assert lines == ["one", "two", "three"]
    assert finished.status == 0
    assert finished.output == "one\ntwo\nthree"


def test_a_failing_program_raises_with_its_last_words():
    with pytest.raises(commands.CommandFailed, match="sh exited with status 3: no such map") as caught:
        commands.run(["sh", "-c", "echo no such map; exit 3"], timeout=10)
    assert caught.value.status == 3


def test_a_failing_program_can_be_asked_without_an_exception():
    assert commands.run(["false"], timeout=10, check=False).status == 1


def test_a_missing_program_is_named():
    with pytest.raises(commands.CommandMissing, match="no-such-program"):
        commands.run(["no-such-program"], timeout=10)


def test_arguments_never_meet_a_shell():
    assert commands.run(["echo", "$(id) `id` ; id"], timeout=10).output == "$(id) `id` ; id"


def _vanishes(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while procfs.is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not procfs.is_alive(pid)


def test_a_time_limit_ends_the_whole_process_group():
    pids: list[int] = []
    with pytest.raises(commands.CommandTimedOut):
        commands.run(["sh", "-c", "sleep 60 & echo $!; wait"], timeout=1, on_line=lambda line: pids.append(int(line)))
    assert _vanishes(pids[0])


def test_cancelling_ends_a_program_that_ignores_term_and_its_children():
    pids: list[int] = []
    started = time.monotonic()
    with pytest.raises(Cancelled):
        commands.run(
            ["sh", "-c", "trap '' TERM; sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1; done'"],
            timeout=60,
            on_line=lambda line: pids.append(int(line)),
            cancelled=lambda: bool(pids),
        )
    assert _vanishes(pids[0])
    assert time.monotonic() - started < 20


def test_a_background_grandchild_does_not_keep_the_call_waiting():
    finished = commands.run(["sh", "-c", "sleep 30 & echo started"], timeout=20)
    assert finished.output == "started"
    assert finished.seconds < 15


def test_a_terminal_is_given_on_request():
    assert commands.run(["sh", "-c", "test -t 1 && echo terminal"], timeout=10, with_pty=True).output == "terminal"


def test_only_the_end_of_a_flood_is_kept():
    finished = commands.run(["sh", "-c", "seq 1 20000"], timeout=30, keep_output=100)
    assert finished.output.endswith("20000")
    assert len(finished.output) <= 100


def test_standard_input_reaches_the_program():
    assert commands.run(["cat"], timeout=10, stdin="hello").output == "hello"


def test_the_environment_is_exactly_what_was_given():
    assert commands.run(["/usr/bin/env"], timeout=10, env={"ONLY": "this"}).output == "ONLY=this"
