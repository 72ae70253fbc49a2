import json
import threading
import time
from types import SimpleNamespace

import pytest
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext

from left4me.core.concurrency import Cancelled
from left4me.core.redis import signals
from left4me.jobs import diagnostic, execution, transitions
from left4me.jobs.execution import ActiveRun, Stop
from left4me.jobs.models import Job, JobLog
from left4me.jobs.operations import Failed
from left4me.jobs.output.log_writer import BURST_LINES, LogWriter
from left4me.jobs.states import State
from left4me.jobs.tests.conftest import LEASE, NOW, story
from left4me.testing.jobs import drain

STOPPED = "The worker was stopped before the job finished. Retry the job."


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
        ("cancelled", STOPPED, 1),
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


def test_a_burst_of_lines_is_kept_whole(ask):
    job = ask("test-start")
    run = _run(job)
    lines = [f"line {number}" for number in range(BURST_LINES)]
    for line in lines:
        run.log(line)
    run.output.flush()
    assert story(job)[1:] == lines


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


def _queries(queries):
    return [each["sql"] for each in queries if "SAVEPOINT" not in each["sql"] and "advisory" not in each["sql"]]


def test_a_short_job_takes_four_queries_to_ask_for_and_six_to_run(ask, claim):
    with CaptureQueriesContext(connection) as asked:
        job = ask("diagnostic", "diagnostic:1", lines=1)
    assert len(_queries(asked)) == 4
    with CaptureQueriesContext(connection) as ran:
        drain(host="local", most=1)
    # The last one is the test's look at the row.
    assert len(_queries(ran)) == 6 + 1
    job.refresh_from_db()
    assert (job.state, job.last_seq, job.progress["done"]) == (State.SUCCEEDED, 2, 1)
    assert story(job) == ["Requested by the system.", "line 1 of 1"]


def test_viewers_get_the_last_lines_and_progress_before_the_end(ask, monkeypatch, django_capture_on_commit_callbacks):
    sent = []
    monkeypatch.setattr(signals, "send", lambda names, *, also=(), first: sent.append((names, first)))
    job = ask("diagnostic", "diagnostic:1", lines=2)
    with django_capture_on_commit_callbacks(execute=True):
        drain(host="local", most=1)
    names, first = sent[-1]
    messages = [json.loads(message) for channel, message in first.publish if channel == f"left4me:job:{job.pk}"]
    assert [sorted(message) for message in messages] == [["after", "lines"], ["progress"], ["after", "end"]]
    assert [line["seq"] for line in messages[0]["lines"]] == [2, 3]
    assert (messages[0]["after"], messages[1]["progress"]["done"], messages[2]["after"]) == (1, 2, 3)
    assert set(names) == {f"job:{job.pk}", "diagnostic:1", f"progress:{job.pk}"}
    assert first.count == [("left4me:jobs-ended:local", "succeeded diagnostic")]


def test_lines_of_a_run_whose_job_was_taken_over_are_kept_and_the_row_is_left_to_its_owner(ask):
    ask("test-start")
    (job,) = transitions.claim(host="local", worker="first", limit=1, now=NOW, lease=LEASE)
    Job.objects.update(worker="second", attempt=2)
    run = _run(job)
    run.progress(phase="download", done=1, total=3)
    assert execution.execute(run).state is None
    job.refresh_from_db()
    assert (job.state, job.worker) == (State.RUNNING, "second")
    assert story(job) == ["Requested by the system.", "starting with •••"]


def test_what_could_not_be_written_with_the_end_stays_unwritten(ask):
    job = ask("test-start")
    run = _run(job)
    run.log("one")

    def fail(lines, progress):
        raise DatabaseError

    with pytest.raises(DatabaseError):
        run.output.write_last(fail)
    assert not run.output.write_last(lambda lines, progress: False)
    run.output.flush()
    assert story(job)[1:] == ["one"]


def test_more_lines_than_a_batch_are_numbered_without_gaps_up_to_the_end(ask):
    job = ask("diagnostic", "diagnostic:1", lines=2_500)
    drain(host="local", most=1)
    assert list(job.log.order_by("seq").values_list("seq", flat=True)) == list(range(1, 2_502))


def test_a_body_sees_its_job(ask):
    job = ask("test-start", "server:12", map="c1m1")
    run = _run(job)
    assert (run.job_id, run.resource, run.resource_id, run.host) == (job.pk, "server:12", 12, "local")
    assert (run.params, run.attempt, run.may_run_again) == ({"map": "c1m1"}, 0, True)
    assert not _run(ask("test-install")).may_run_again
    assert not _run(Job(pk=1, operation="from-the-future", resource="a:1")).may_run_again


def test_a_secret_is_masked_from_when_it_is_known(ask):
    run = _run(ask("test-install"))
    assert run.masked("hunter2") == run.hide("hunter2") == "hunter2"
    run.mask("hunter2", "other-word")
    assert run.masked("hunter2\nand other-word\x07") == "•••\nand •••"
    assert run.hide("hunter2") == "•••"
    assert len(run.masked("x\n" * 10_000)) == 10_000


def test_the_first_reason_to_stop_counts_but_a_lost_lease_overrides_it(ask):
    run = _run(ask("test-start"))
    found = []
    for why in (Stop.CANCEL, Stop.SHUTDOWN, Stop.LEASE_LOST, Stop.CANCEL):
        run.request_stop(why)
        found.append(run.stopped_for)
    assert found == [Stop.CANCEL, Stop.CANCEL, Stop.LEASE_LOST, Stop.LEASE_LOST]


def test_a_pause_ends_by_itself(ask):
    run = _run(ask("test-start"))
    run.sleep(0.01)
    run.sleep(0)
    run.check()
    assert not run.cancelled()


def test_a_program_does_not_get_the_application_s_secrets(ask, monkeypatch):
    for name in execution._NOT_PASSED_ON:
        monkeypatch.setenv(name, "hidden")
    monkeypatch.setenv("PASSED_ON", "yes")
    run = _run(ask("test-start"))
    output = run.command(["env"], timeout=30).output.splitlines()
    assert "PASSED_ON=yes" in output
    assert not any(line.endswith("=hidden") for line in output)
    assert run.command(["sh", "-c", "exit 3"], timeout=30, check=False).status == 3


@pytest.fixture
def claimed(ask):
    """Claim a job of this operation, and return its run."""

    def claimed(operation: str, **params) -> ActiveRun:
        ask(operation, **params)
        (job,) = transitions.claim(host="local", worker="me", limit=1, now=NOW, lease=LEASE)
        return _run(job)

    return claimed


@pytest.mark.parametrize(
    ("operation", "why", "state", "last"),
    [
        ("test-start", Stop.SHUTDOWN, State.QUEUED, "The worker is shutting down. The job is queued again."),
        ("test-start", Stop.LEASE_LOST, State.QUEUED, "The worker lost its connection. The job is queued again."),
        (
            "test-install",
            Stop.SHUTDOWN,
            State.FAILED,
            "The worker was stopped before the job finished. Retry the job.",
        ),
    ],
)
def test_a_run_that_stops_for_its_worker_is_queued_again_or_fails(claimed, operation, why, state, last):
    run = claimed(operation)
    run.request_stop(why)
    ending = execution._settle(run, State.CANCELLED, None, "")
    assert ending.state is state
    job = Job.objects.get()
    assert (job.state, job.exit_code) == (state, 1 if state is State.FAILED else None)
    assert story(job)[-1] == last


def test_a_run_that_stops_for_its_worker_is_cancelled_when_its_user_wants_that_too(claimed):
    run = claimed("test-install")
    Job.objects.update(state=State.CANCELLING)
    run.request_stop(Stop.SHUTDOWN)
    assert execution._settle(run, State.CANCELLED, None, "").state is State.CANCELLED
    assert Job.objects.get().state == State.CANCELLED


def test_a_run_that_its_user_cancelled_is_cancelled(claimed):
    run = claimed("test-start")
    Job.objects.update(state=State.CANCELLING)
    run.request_stop(Stop.CANCEL)
    assert execution._settle(run, State.CANCELLED, None, "").state is State.CANCELLED


def test_a_result_is_stored_once_the_database_is_back_or_left_to_the_sweep(claimed, monkeypatch):
    run = claimed("test-start")
    pauses, tries, settle = [], [], execution._settle

    def fail_twice(*args):
        tries.append(args)
        if len(tries) <= 2:
            raise DatabaseError
        return settle(*args)

    monkeypatch.setattr(execution, "_settle", fail_twice)
    monkeypatch.setattr(execution.time, "sleep", pauses.append)
    assert execution._settle_with_retries(run, State.SUCCEEDED, 0, "").state is State.SUCCEEDED
    assert pauses == [0.5, 0.5]
    pauses.clear()
    monkeypatch.setattr(execution, "_settle", lambda *args: fail_twice(tries.clear()))
    ending = execution._settle_with_retries(run, State.SUCCEEDED, 0, "")
    assert (ending.state, ending.error) == (None, "left to the sweep, after its lease expires")
    assert len(pauses) == 20


def test_a_failure_without_words_gets_some(claimed, monkeypatch):
    run = claimed("test-break")
    for fault, code in ((Failed(""), 1), (Failed("", exit_code=5), 5)):
        monkeypatch.setattr(run, "operation", SimpleNamespace(body=_raising(fault)))
        assert execution._run_body(run) == (State.FAILED, code, execution._NO_REASON)
    assert (Failed("x").may_pass, Failed("x", may_pass=True).may_pass) == (False, True)


def _raising(fault):
    def body(run):
        raise fault

    return body


# --- the worker test ---


class Recorded:
    def __init__(self, **params):
        self.params, self.calls = params, []

    def __getattr__(self, name):
        return lambda *args, **options: self.calls.append((name, *args, *options.items()))


def test_the_worker_test_prints_lines_and_does_what_it_is_asked_for():
    run = Recorded()
    diagnostic.diagnostic(run)
    assert [call[1] for call in run.calls if call[0] == "log"] == [f"line {n} of 3" for n in (1, 2, 3)]
    assert [dict(call[1:])["done"] for call in run.calls if call[0] == "progress"] == [1, 2, 3]
    assert not [call for call in run.calls if call[0] in {"sleep", "command"}]
    run = Recorded(lines=1, interval=0.2, sleep=5, child=7)
    diagnostic.diagnostic(run)
    assert [call[0] for call in run.calls] == ["check", "log", "progress", "sleep", "log", "sleep", "command"]
    assert [call[1] for call in run.calls if call[0] == "sleep"] == [0.2, 5]
    assert "time.sleep(7.0)" in run.calls[-1][1][2]
    assert ("timeout", 3600) in run.calls[-1]
    with pytest.raises(Failed, match="as asked"):
        diagnostic.diagnostic(Recorded(lines=0, fail="as asked"))
