import threading
import time

import pytest

from left4me.core.concurrency import Cancelled
from left4me.jobs.execution import ActiveRun, Stop
from left4me.jobs.models import JobLog
from left4me.jobs.output.log_writer import BURST_LINES, LogWriter
from left4me.jobs.states import State
from left4me.jobs.tests.conftest import story
from left4me.testing.jobs import drain


def _run(job, *, lease=60.0):
    return ActiveRun(job, LogWriter(), lease_ends=time.monotonic() + lease)


def test_a_body_that_returns_has_succeeded_and_its_secrets_are_masked(ask):
    job = ask("test-start")
    (ran,) = drain(host="local")
    assert (ran.pk, ran.state, ran.exit_code, ran.error) == (job.pk, State.SUCCEEDED, 0, "")
    assert story(job) == ["Requested by the system.", "starting with •••"]


@pytest.mark.parametrize(
    ("how", "error", "exit_code"),
    [
        ("failed", "no room for •••", 28),
        ("command", "sh exited with status 7: last words", 7),
        ("missing", "can't run no-such-program-here: No such file or directory", 1),
        ("cancelled", "The worker was stopped before the job finished. Retry the job.", 1),
        ("surprise", "ZeroDivisionError: by •••", 1),
    ],
)
def test_a_body_that_raises_has_failed_with_words_for_the_operator(ask, how, error, exit_code):
    ask("test-break", how=how)
    (ran,) = drain(host="local")
    assert (ran.state, ran.error, ran.exit_code) == (State.FAILED, error, exit_code)


def test_an_operation_that_this_worker_does_not_know_fails_with_a_hint(ask):
    job = ask("test-start")
    type(job).objects.update(operation="from-the-future")
    (ran,) = drain(host="local")
    assert ran.state == State.FAILED
    assert "from-the-future" in ran.error


def test_a_run_is_told_at_once_also_in_a_pause(ask):
    run = _run(ask("test-start"))
    threading.Timer(0.1, run.request_stop, [Stop.CANCEL]).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        run.sleep(60)
    assert time.monotonic() - began < 5
    assert run.cancelled()


def test_a_program_of_a_run_that_is_told_to_stop_ends_with_its_children(ask, tmp_path):
    run = _run(ask("test-start"))
    marker = tmp_path / "alive"
    threading.Timer(0.3, run.request_stop, [Stop.CANCEL]).start()
    with pytest.raises(Cancelled):
        run.command(["sh", "-c", f"(while :; do date > {marker}; sleep 0.05; done) & wait"], timeout=60)
    marker.unlink(missing_ok=True)
    time.sleep(0.2)
    assert not marker.exists()


def test_a_run_stops_by_itself_when_nobody_renews_its_lease(ask):
    run = _run(ask("test-start"), lease=0.1)
    assert not run.cancelled()
    with pytest.raises(Cancelled):
        run.sleep(60)
    with pytest.raises(Cancelled):
        run.check()


def test_a_flood_is_cut_and_one_line_counts_what_was_left_out(ask):
    job = ask("test-start")
    run = _run(job)
    for number in range(BURST_LINES + 20_000):
        run.log(f"line {number}")
    run.output.flush()
    rows = list(JobLog.objects.filter(job=job).order_by("seq").values_list("seq", "line"))
    assert [seq for seq, _ in rows] == list(range(1, len(rows) + 1))
    left_out = sum(int(line.split()[1]) for _, line in rows if line.startswith("… "))
    kept = sum(line.startswith("line ") for _, line in rows)
    assert left_out > 0
    assert kept + left_out == BURST_LINES + 20_000


def test_several_lines_at_once_are_several_lines(ask):
    job = ask("test-start")
    run = _run(job)
    run.log("one\ntwo\r\nthree")
    run.output.flush()
    assert story(job)[1:] == ["one", "two", "three"]


def test_progress_is_kept_with_the_job(ask):
    job = ask("test-start")
    run = _run(job)
    run.progress(phase="download", done=1, total=3, unit="items")
    run.progress(phase="download", done=2, total=3, unit="items")
    run.output.flush()
    job.refresh_from_db()
    assert job.progress == {"phase": "download", "done": 2, "total": 3, "unit": "items"}
