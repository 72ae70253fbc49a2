from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from left4me.jobs import actions, sweep, transitions
from left4me.jobs.models import Job, JobLock, JobLog
from left4me.jobs.states import State
from left4me.jobs.tests.conftest import LEASE, NOW, story


def _fresh(job):
    job.refresh_from_db()
    return job


def test_jobs_of_one_server_run_one_after_the_other_in_order_and_those_of_others_beside_them(ask, claim):
    first, other, second = ask("test-start"), ask("test-start", "server:2"), ask("test-install", "server:1")
    assert claim() == [first.pk, other.pk]
    assert claim() == []
    transitions.finish(_fresh(first), state=State.SUCCEEDED, now=NOW)
    assert claim() == [second.pk]


def test_an_install_waits_for_all_of_its_host_and_is_not_overtaken_by_younger_ones(ask, claim):
    running = ask("test-start", "server:1")
    claim()
    install = ask("test-install", "game")
    younger = ask("test-start", "server:2")
    elsewhere = ask("test-start", "server:3", host="other")
    assert claim() == []
    assert claim(host="other") == [elsewhere.pk]
    transitions.finish(_fresh(running), state=State.SUCCEEDED, now=NOW)
    assert claim() == [install.pk]
    assert claim() == []
    transitions.finish(_fresh(install), state=State.FAILED, now=NOW)
    assert claim() == [younger.pk]


def test_a_numbered_resource_is_one_on_all_hosts(ask, claim):
    ask("test-install", "overlay:7", host="a")
    ask("test-install", "overlay:7", host="b")
    assert len(claim(host="a")) == 1
    assert claim(host="b") == []


def test_a_claim_takes_no_more_than_there_are_slots_and_never_the_same_job_twice(ask, claim):
    jobs = [ask("test-start", f"server:{n}").pk for n in range(1, 6)]
    assert claim(limit=2) == jobs[:2]
    assert claim(limit=2, worker="other") == jobs[2:4]
    job = Job.objects.get(pk=jobs[0])
    assert (job.worker, job.attempt, job.lease_expires_at) == ("worker", 1, NOW + LEASE)


def test_claiming_takes_as_many_queries_from_a_long_queue_as_from_a_short_one(ask, claim):
    ask("test-install", "game")
    with CaptureQueriesContext(
        connection,
    ) as short:
        claim(limit=1)
    running = Job.objects.get()
    waiting = Job.objects.bulk_create(
        Job(operation="test-start", resource=f"server:{n % 50 + 1}", host="local") for n in range(2_000)
    )
    JobLock.objects.bulk_create(JobLock(job=job, resource=job.resource, exclusive=True) for job in waiting)
    JobLock.objects.bulk_create(JobLock(job=job, resource="game@local", exclusive=False) for job in waiting)
    transitions.finish(running, state=State.SUCCEEDED, now=NOW)
    with CaptureQueriesContext(connection) as long:
        assert claim(limit=1) == [waiting[0].pk]
    assert len(long) == len(short)


def test_only_the_worker_that_holds_a_job_ends_it_and_only_once(ask, claim):
    stale = ask("test-start")
    claim(worker="first")
    stale.refresh_from_db()
    sweep.settle_abandoned(host="elsewhere", now=NOW + timedelta(minutes=1))
    claim(worker="second")
    assert not transitions.finish(stale, state=State.SUCCEEDED, now=NOW)
    held = _fresh(Job.objects.get())
    assert transitions.finish(held, state=State.SUCCEEDED, now=NOW, exit_code=0)
    assert not transitions.finish(held, state=State.FAILED, now=NOW)
    assert _fresh(held).state == State.SUCCEEDED


def test_a_job_handed_back_keeps_its_place_and_its_attempts(ask, claim):
    job, younger = ask("test-start"), ask("test-install", "server:1")
    claim()
    assert transitions.hand_back(_fresh(job), why="The worker stops.", now=NOW)
    assert not transitions.hand_back(job, why="The worker stops.", now=NOW)
    assert _fresh(job).attempt == 0
    assert claim() == [job.pk]
    assert _fresh(younger).state == State.QUEUED


def test_a_job_whose_worker_died_runs_once_more_when_that_does_no_harm_and_then_fails(ask, claim):
    job = ask("test-start")
    claim()
    assert sweep.settle_abandoned(host="elsewhere", now=NOW + LEASE) == 0
    late = NOW + LEASE + timedelta(seconds=1)
    assert sweep.settle_abandoned(host="elsewhere", now=late) == 1
    assert sweep.settle_abandoned(host="elsewhere", now=late) == 0
    assert _fresh(job).state == State.QUEUED
    claim(now=late)
    assert sweep.settle_abandoned(host="elsewhere", now=late + 2 * LEASE) == 1
    assert (_fresh(job).state, job.error) == (State.FAILED, "The worker stopped unexpectedly. Retry the job.")
    assert not JobLock.objects.exists()


def test_a_job_that_must_not_run_twice_fails_with_its_worker(ask, claim):
    job = ask("test-install")
    claim()
    sweep.settle_abandoned(host="elsewhere", now=NOW + 2 * LEASE)
    assert (_fresh(job).state, job.error) == (State.FAILED, "The worker stopped unexpectedly. Retry the job.")
    assert story(job)[-1] == "The worker stopped unexpectedly. Retry the job."


def test_a_job_that_was_being_cancelled_is_cancelled_when_its_worker_dies(ask, claim, anna):
    job = ask("test-start")
    claim()
    actions.cancel(job=job, by=anna)
    sweep.settle_abandoned(host="elsewhere", now=NOW + 2 * LEASE)
    assert _fresh(job).state == State.CANCELLED


def test_a_renewed_lease_keeps_a_job_from_the_sweep(ask, claim):
    job = ask("test-start")
    claim()
    transitions.renew(worker="worker", jobs=[job.pk], now=NOW + LEASE, lease=LEASE)
    assert sweep.settle_abandoned(host="elsewhere", now=NOW + LEASE + LEASE) == 0
    assert _fresh(job).state == State.RUNNING


def test_one_job_that_cannot_be_settled_does_not_keep_the_sweep_from_others(ask, claim, monkeypatch):
    broken, sound = ask("test-start"), ask("test-start", "server:2")
    claim()
    recover = transitions.recover

    def recover_all_but_one(job, *, now):
        if job.pk == broken.pk:
            raise RuntimeError
        return recover(job, now=now)

    monkeypatch.setattr(transitions, "recover", recover_all_but_one)
    assert sweep.settle_abandoned(host="elsewhere", now=NOW + 2 * LEASE) == 1
    assert _fresh(sound).state == State.QUEUED


def test_log_lines_go_after_their_days_and_jobs_after_theirs_but_live_ones_stay(ask, claim):
    ended, live = ask("test-start"), ask("test-start", "server:2")
    claim(limit=1)
    transitions.finish(_fresh(ended), state=State.SUCCEEDED, now=timezone.now())
    later = timezone.now() + timedelta(days=91)
    assert sweep.prune(now=later, log_days=90, job_days=365)[0] == 1
    assert set(JobLog.objects.values_list("job", flat=True)) == {live.pk}
    assert sweep.prune(now=timezone.now() + timedelta(days=366), log_days=90, job_days=365) == (0, 1)
    assert list(Job.objects.all()) == [live]


@pytest.mark.parametrize("fields", [{"state": "running"}, {"state": "succeeded"}, {"state": "odd"}])
def test_the_database_itself_refuses_a_row_that_contradicts_itself(ask, fields):
    from django.db import IntegrityError

    job = ask("test-start")
    with pytest.raises(IntegrityError):
        Job.objects.filter(pk=job.pk).update(**fields)


def test_a_job_of_a_machine_that_is_gone_ends_without_its_worker(ask, claim):
    running, waiting = ask("test-start"), ask("test-start", "server:2")
    claim(limit=1)
    assert transitions.abandon(running, why="The host was removed.", now=NOW)
    assert transitions.abandon(waiting, why="The host was removed.", now=NOW)
    assert (_fresh(running).state, running.exit_code, running.error) == (State.FAILED, 1, "The host was removed.")
    assert (_fresh(waiting).state, waiting.exit_code, waiting.error) == (State.CANCELLED, None, "")
    assert story(waiting)[-1] == story(running)[-1] == "The host was removed."
    assert not transitions.abandon(running, why="Again.", now=NOW)
    assert not JobLock.objects.exists()


def test_a_job_whose_operation_no_code_knows_is_not_run_again(ask, claim):
    job = ask("test-start")
    claim()
    Job.objects.update(operation="from-the-future")
    assert transitions.recover(_fresh(job), now=NOW) == State.FAILED
    assert (_fresh(job).exit_code, job.worker, job.lease_expires_at) == (1, "", None)


def test_a_job_that_another_process_has_settled_is_left_alone(ask, claim):
    again, once, cancelled = ask("test-start"), ask("test-install", "server:2"), ask("test-start", "server:3")
    claim()
    stale = [_fresh(each) for each in (again, once)]
    actions.cancel(job=_fresh(cancelled), by=None)
    stale.append(_fresh(cancelled))
    Job.objects.update(attempt=5)
    assert [transitions.recover(job, now=NOW) for job in stale] == [None] * 3
    assert [_fresh(job).state for job in stale] == [State.RUNNING, State.RUNNING, State.CANCELLING]


def test_a_job_that_runs_again_begins_from_nothing(ask, claim):
    job = ask("test-start")
    claim()
    Job.objects.update(progress={"done": 1})
    assert transitions.recover(_fresh(job), now=NOW) == State.QUEUED
    assert (_fresh(job).progress, job.started_at, job.worker, job.attempt) == (None, None, "", 1)


def test_the_other_hosts_that_wait_for_a_resource_are_told_once_it_is_free(ask, claim, monkeypatch):
    told = []
    monkeypatch.setattr(transitions.dispatch, "send_runnable_after_commit", told.append)
    first = ask("test-install", "overlay:7", host="a")
    ask("test-install", "overlay:7", host="b"), ask("test-start", "overlay:7", host="b")
    ask("test-install", "overlay:8", host="c"), ask("test-install", "game", host="d")
    claim(host="a")
    told.clear()
    transitions.finish(_fresh(first), state=State.SUCCEEDED, now=NOW)
    assert told == ["b"], "its own host's worker looks by itself"
    told.clear()
    actions.cancel(job=Job.objects.get(host="c"), by=None)
    assert told == ["c"]


def test_only_one_job_is_claimed_if_it_is_named_and_is_one_of_the_oldest(ask):
    first, second, third = (ask("test-start", f"server:{number}") for number in (1, 2, 3))

    def claim_only(job: Job, limit: int) -> list[int]:
        found = transitions.claim(host="local", worker="w", limit=limit, now=NOW, lease=LEASE, only=job.pk)
        return [each.pk for each in found]

    assert claim_only(third, 2) == []
    assert claim_only(second, 2) == [second.pk]
    assert claim_only(first, 1) == [first.pk]


def test_an_end_has_its_time_its_error_and_its_last_lines(ask, claim):
    job = ask("test-start")
    claim()
    later = NOW + timedelta(minutes=1)
    lines = [("stdout", "last words", later)]
    assert transitions.finish(
        _fresh(job), state=State.FAILED, now=later, exit_code=3, error="Why.", lines=lines, progress={"done": 1}
    )
    assert (_fresh(job).state, job.exit_code, job.error, job.progress) == (State.FAILED, 3, "Why.", {"done": 1})
    assert (job.finished_at, job.ran_for, job.last_seq) == (later, timedelta(minutes=1), 3)
    assert story(job)[1:] == ["last words", "Why."]
    assert transitions.end_of(job) == {"id": job.pk, "state": "failed", "exit_code": 3, "error": "Why."}


def test_leases_of_a_clock_that_was_ahead_are_abandoned_too(ask, claim):
    job = ask("test-start")
    claim()
    for ahead, found in ((timedelta(seconds=60), []), (timedelta(seconds=61), [job])):
        Job.objects.update(lease_expires_at=NOW + LEASE + ahead)
        assert list(Job.objects.abandoned(NOW, lease=LEASE)) == found
    Job.objects.update(lease_expires_at=NOW)
    assert not Job.objects.abandoned(NOW, lease=LEASE).exists()


def test_after_a_step_of_the_clock_leases_tell_nothing_for_their_length(monkeypatch):
    now, steps = [1_000.0], [600.0, 0.0, 0.0, 0.0]
    monkeypatch.setattr(sweep, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(sweep, "_clock", SimpleNamespace(step=lambda: steps.pop(0)))
    monkeypatch.setattr(sweep, "_stepped_at", float("-inf"))
    found = []
    for now[0] in (1_000.0, 1_014.9, 1_015.0, 1_060.0):
        found.append(sweep._leases_tell_nothing())
    assert found == [True, True, False, False]


def test_jobs_of_a_provably_dead_worker_are_settled_before_their_lease_ends(ask, claim, monkeypatch):
    job, other = ask("test-start"), ask("test-start", "server:2", host="other")
    claim(worker="dead"), claim(worker="dead", host="other")
    monkeypatch.setattr(sweep.identity, "is_provably_dead", lambda worker: worker == "dead")
    assert sweep.settle_abandoned(host="local", now=NOW) == 1
    assert (_fresh(job).state, _fresh(other).state) == (State.QUEUED, State.RUNNING)


def test_rows_know_what_they_are(ask, claim):
    job = ask("test-start")
    assert str(job) == f"{job.pk}: test-start server:1"
    assert sorted(map(str, job.locks.all())) == ["game@local (shared)", "server:1 (exclusive)"]
    assert (job.title, Job(operation="odd").title) == ("Start", "odd")
    assert (job.is_live, job.is_active, job.has_ended, job.ran_for) == (True, False, False, None)
    assert not job.can_be_retried
    claim()
    assert (_fresh(job).is_live, job.is_active, job.has_ended, job.ran_for) == (True, True, False, None)
    assert Job.objects.is_running(job.pk, operation="test-start", resource="server:1", host="local")
    for wrong in ({"operation": "x"}, {"resource": "server:2"}, {"host": "other"}):
        given = {"operation": "test-start", "resource": "server:1", "host": "local", **wrong}
        assert not Job.objects.is_running(job.pk, **given)
    transitions.finish(job, state=State.FAILED, now=NOW)
    assert (_fresh(job).is_live, job.is_active, job.has_ended, job.can_be_retried) == (False, False, True, True)
    assert not Job.objects.is_running(job.pk, operation="test-start", resource="server:1", host="local")
    job.operation = "odd"
    assert not job.can_be_retried
    assert str(job.log.first()) == "Requested by the system."


def test_old_rows_are_deleted_some_thousands_at_a_time(db, monkeypatch):
    steps = []
    monkeypatch.setattr(sweep, "delete_in_steps", lambda rows, *, at_once: steps.append(at_once) or 0)
    sweep.prune(now=NOW, log_days=1, job_days=1)
    assert steps == [5_000] * 2


@pytest.mark.parametrize(("days", "lines", "jobs"), [(9, 0, 0), (10, 1, 0), (19, 1, 0), (20, 1, 1)])
def test_lines_and_jobs_go_after_their_days(ask, claim, days, lines, jobs):
    job = ask("test-start")
    claim()
    transitions.finish(_fresh(job), state=State.SUCCEEDED, now=NOW)
    JobLog.objects.update(created_at=NOW)
    now = NOW + timedelta(days=days, seconds=1)
    assert sweep.prune(now=now, log_days=10, job_days=20) == (lines, jobs)


def test_the_migrations_make_the_models_that_there_are(db):
    call_command("makemigrations", "jobs", check=True, dry_run=True, verbosity=0)


def test_only_jobs_that_are_settled_are_told_to_have_lost_their_worker(ask, claim, caplog):
    job = ask("test-start")
    claim()
    held = _fresh(job)
    for told in (1, 1):
        sweep._recover(held, NOW)
        assert caplog.text.count(f"Job {job.pk} lost its worker worker: now queued") == told
