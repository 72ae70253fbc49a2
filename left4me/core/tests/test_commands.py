from __future__ import annotations

import select
import shlex
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

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


@pytest.mark.parametrize(
    ("status", "tail", "message"),
    [
        (3, "why", "sh exited with status 3: why"),
        (3, "", "sh exited with status 3"),
        (-9, "why", "sh was ended by signal 9: why"),
    ],
)
def test_a_failure_says_how_it_ended(status, tail, message):
    assert str(commands.CommandFailed("sh", status, tail)) == message


def test_the_last_words_of_a_failure_are_its_last_five_lines():
    with pytest.raises(commands.CommandFailed) as caught:
        commands.run(["sh", "-c", "seq 1 9; exit 1"], timeout=10)
    assert caught.value.tail.split() == ["5", "6", "7", "8", "9"]
    with pytest.raises(commands.CommandFailed) as caught:
        commands.run(["sh", "-c", f"echo {'x' * 700}; exit 1"], timeout=10)
    assert len(caught.value.tail) == 600


def test_a_program_that_a_signal_ended_has_its_number_below_zero():
    assert commands.run(["sh", "-c", "kill -9 $$"], timeout=10, check=False).status == -9


def test_lines_end_as_on_every_system_and_the_last_one_needs_no_end():
    lines: list[str] = []
    commands.run(["printf", r"one\r\ntwo\rthree\n\nfour"], timeout=10, on_line=lines.append)
    assert lines == ["one", "two", "three", "", "four"]


def test_a_line_without_end_is_cut_and_goes_on(monkeypatch):
    monkeypatch.setattr(commands, "_LONGEST_LINE", 10)
    monkeypatch.setattr(commands, "_CHUNK", 8)
    lines: list[str] = []
    commands.run(["printf", "x" * 30], timeout=10, on_line=lines.append)
    assert "".join(lines) == "x" * 30
    assert max(map(len, lines)) == 16


def test_the_newest_lines_are_kept_up_to_a_number_of_characters():
    for keep, kept in ((7, ["8", "9", "10"]), (6, ["9", "10"]), (5, ["9", "10"]), (1, ["10"]), (0, ["10"])):
        assert commands.run(["seq", "1", "10"], timeout=10, keep_output=keep).output.split() == kept, keep


def test_a_program_runs_in_the_directory_that_it_is_given(tmp_path):
    assert commands.run(["pwd"], timeout=10, cwd=tmp_path).output == str(tmp_path)


def test_a_question_that_waits_for_an_answer_is_shown_before_the_cancel():
    lines: list[str] = []
    asked: list[bool] = []

    def cancelled() -> bool:
        asked.append(True)
        return len(asked) > 2

    with pytest.raises(Cancelled, match="sh was cancelled"):
        commands.run(["sh", "-c", "printf 'Code? '; sleep 60"], timeout=30, on_line=lines.append, cancelled=cancelled)
    assert lines == ["Code? "]


def test_a_group_that_ends_at_once_is_not_waited_for_and_another_is_killed():
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        commands.end_group(process.pid, grace=30)
        assert process.wait() == -15
    script = "trap '' TERM; echo ready; while :; do sleep 1; done"
    with subprocess.Popen(["sh", "-c", script], start_new_session=True, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()
        commands.end_group(process.pid, grace=0.05)
        assert process.wait() == -9
    commands.end_group(process.pid)


def test_a_cancel_ends_what_a_program_that_has_ended_left_behind(tmp_path):
    lines: list[str] = []
    child = "trap '' TERM; while :; do echo; sleep 0.05; done"

    def cancelled() -> bool:
        # The program is gone for good: nobody can wait for it any more.
        return len(lines) > 1 and not Path(f"/proc/{lines[0]}").exists()

    with pytest.raises(Cancelled):
        argv = ["sh", "-c", f"echo $$; sh -c {shlex.quote(child)} & echo $!"]
        commands.run(argv, timeout=30, on_line=lines.append, cancelled=cancelled)
    assert _vanishes(int(lines[1]))


def test_a_program_is_looked_at_several_times_a_second(monkeypatch):
    waits: list[float] = []

    class Poll:
        def register(self, descriptor: int, events: int) -> None:
            self.real = select.poll()
            self.real.register(descriptor, events)

        def poll(self, milliseconds: float) -> object:
            waits.append(milliseconds)
            return self.real.poll(milliseconds)

    monkeypatch.setattr(commands, "select", SimpleNamespace(poll=Poll, POLLIN=select.POLLIN))
    commands.run(["true"], timeout=10)
    assert set(waits) == {200.0}


def test_a_group_has_a_second_to_end():
    assert commands.end_group.__kwdefaults__ == {"grace": 1.0}
