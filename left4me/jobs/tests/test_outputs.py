"""What a running job writes: lines up to a limit, progress when it is due, and the thread that stores both."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from left4me.core.lines import Masker
from left4me.jobs import broadcast
from left4me.jobs.models import Job
from left4me.jobs.output import log_writer, logs
from left4me.jobs.output.log_writer import BURST_LINES, JobOutput, LogWriter
from left4me.jobs.tests.conftest import NOW, story


@pytest.fixture
def clock(monkeypatch) -> Any:
    now = SimpleNamespace(seconds=1_000.0)
    monkeypatch.setattr(log_writer, "time", SimpleNamespace(monotonic=lambda: now.seconds, sleep=time.sleep))
    return now


@pytest.fixture
def output(ask, clock) -> JobOutput:
    return LogWriter().open(ask("test-start").pk, Masker())


def kept(output: JobOutput) -> int:
    return len(output._unwritten)


def test_a_job_writes_a_burst_and_then_so_many_lines_a_second(output, clock):
    for _ in range(BURST_LINES + 10):
        output.write("stdout", "x")
    assert (kept(output), output._dropped) == (BURST_LINES, 10)
    output._unwritten.clear()
    clock.seconds += 0.0011
    for _ in range(3):
        output.write("stdout", "x")
    assert kept(output) == 2 + 1, "two lines, after the note of the ten"
    assert output._unwritten[0][:2] == ("event", "… 10 lines not shown: more than 2000 per second")
    output._unwritten.clear()
    clock.seconds += 3600
    for _ in range(BURST_LINES + 1):
        output.write("stdout", "x")
    assert kept(output) == BURST_LINES + 1, "with the note of the one"


def test_a_database_that_does_not_keep_up_does_not_fill_the_memory(output, clock):
    for _ in range(4):
        clock.seconds += 60
        for _ in range(BURST_LINES):
            output.write("stdout", "x")
    assert kept(output) == 2 * BURST_LINES


def test_a_text_of_several_lines_is_several_lines(output):
    output.write("stderr", "one\ntwo\n")
    output.write("stdout", "three\rfour")
    assert [(stream, text) for stream, text, _ in output._unwritten] == [
        ("stderr", "one"),
        ("stderr", "two"),
        ("stdout", "threefour"),
    ]


def test_progress_is_published_five_times_a_second_and_stored_once(output, clock, monkeypatch):
    published: list[tuple[int, bool]] = []
    monkeypatch.setattr(
        broadcast, "progress", lambda job, progress, is_stored: published.append((progress["done"], is_stored))
    )
    found = []
    for done, clock.seconds in enumerate((1_000.0, 1_000.1, 1_000.2, 1_000.9, 1_001.2), 1):
        output.set_progress({"done": done})
        found.append((output.write_due(), Job.objects.get().progress))
    assert found == [
        (False, {"done": 1}),
        (True, {"done": 1}),
        (True, {"done": 1}),
        (True, {"done": 1}),
        (False, {"done": 5}),
    ]
    assert published == [(1, True), (3, False), (4, False), (5, True)]
    clock.seconds += 60
    assert not output.write_due()
    assert len(published) == 4, "what has not changed is not sent again"


def test_everything_is_written_at_once_before_the_end(output, clock, monkeypatch):
    monkeypatch.setattr(broadcast, "progress", lambda *args, **options: None)
    output.set_progress({"done": 1})
    output.flush()
    output.set_progress({"done": 2})
    output.flush()
    assert Job.objects.get().progress == {"done": 2}


def test_the_thread_leaves_a_job_alone_whose_end_is_being_written(output):
    output.write("stdout", "x")
    output._writing.acquire()
    assert not output.write_due()
    assert kept(output) == 1
    output._writing.release()
    output.write_due()
    assert kept(output) == 0


def test_the_end_takes_what_fits_into_one_batch(output, monkeypatch):
    monkeypatch.setattr(log_writer, "_BATCH", 3)
    for number in range(8):
        output.write("stdout", str(number))
    output.set_progress({"done": 1})
    given: list[Any] = []
    assert output.write_last(lambda lines, progress: given.append((lines, progress)) or True)
    ((lines, progress),) = given
    assert ([text for _, text, _ in lines], progress) == (["6", "7"], {"done": 1})
    assert story(Job.objects.get())[1:] == ["0", "1", "2", "3", "4", "5"]
    assert kept(output) == 0
    assert output.write_last(lambda lines, progress: given.append((list(lines), progress)) or True)
    assert given[-1] == ([], None), "nothing is left"


def test_lines_are_stored_in_batches(output, monkeypatch):
    monkeypatch.setattr(log_writer, "_BATCH", 3)
    sizes: list[int] = []
    append = logs.append
    monkeypatch.setattr(logs, "append", lambda job, lines: sizes.append(len(lines)) or append(job, lines))
    for number in range(7):
        output.write("stdout", str(number))
    output.flush()
    assert sizes == [3, 3, 1]
    assert story(Job.objects.get())[1:] == [str(number) for number in range(7)]


def test_lines_of_a_job_that_is_gone_are_dropped(ask):
    job = ask("test-start")
    assert logs.append(job.pk, []) == []
    Job.objects.all().delete()
    assert logs.append(job.pk, [("stdout", "x", NOW)]) == []


class Due:
    """An output that is written as it is told."""

    def __init__(self, answer: bool | Exception) -> None:
        self.answer, self.turns = answer, 0

    def write_due(self) -> bool:
        self.turns += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("answers", "pause"),
    [((), None), ((False,), None), ((False, True, False), 0.2), ((True, OSError("away"), False), 0.5)],
    ids=str,
)
def test_a_turn_writes_all_outputs_and_says_when_the_next_one_is_due(answers, pause, caplog):
    writer = LogWriter()
    outputs = {number: Due(answer) for number, answer in enumerate(answers, 1)}
    writer._outputs.update(outputs)  # type: ignore[arg-type]
    assert writer._turn() == pause
    assert [each.turns for each in outputs.values()] == [1] * len(outputs)
    assert ("Could not write the log of job 2 yet" in caplog.text) is (pause == 0.5)


@pytest.mark.django_db(transaction=True)
def test_the_thread_writes_what_is_new_and_ends():
    writer = LogWriter()
    output = Due(False)
    writer._outputs[1] = output  # type: ignore[assignment]
    writer.start()
    for turns in (1, 2):
        writer.nudge()
        deadline = time.monotonic() + 20
        while output.turns < turns and time.monotonic() < deadline:
            time.sleep(0.002)
        assert output.turns == turns
    writer.close(1)
    writer.nudge()
    writer.stop()
    assert not writer._thread.is_alive()
    assert output.turns == 2


def test_a_writer_that_was_never_started_stops_too():
    LogWriter().stop()


def test_the_thread_rests_a_moment_between_batches_and_waits_for_what_is_due(monkeypatch):
    writer = LogWriter()
    pauses: list[float] = []
    waits: list[float | None] = []

    def rest(seconds: float) -> None:
        pauses.append(seconds)
        writer._stopping = len(pauses) == 3

    monkeypatch.setattr(log_writer, "time", SimpleNamespace(sleep=rest))
    monkeypatch.setattr(writer, "_nudged", SimpleNamespace(wait=lambda timeout: waits.append(timeout), clear=list))
    turns = iter([0.2, None, 0.5])
    monkeypatch.setattr(writer, "_turn", lambda: next(turns))
    writer._run()
    assert (pauses, waits) == ([0.02] * 3, [None, 0.2, None])
