"""Whatever happens, in whatever order: no conflict runs, nobody is overtaken, everything ends."""

from __future__ import annotations

from datetime import timedelta
from itertools import combinations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from left4me.jobs import actions, sweep, transitions
from left4me.jobs.models import Job, JobLock, JobLog
from left4me.jobs.states import ACTIVE, LIVE, State
from left4me.jobs.tests.conftest import LEASE, NOW

_HOSTS = ["a", "b"]
_WORKERS = ["one", "two"]
# What each operation needs, said a second time and differently from tests/operations.py: (name, exclusive).
_NEEDS = {
    "test-start": lambda resource, host: {(resource, True), (f"game@{host}", False)},
    "test-stop": lambda resource, host: {(resource, True), (f"game@{host}", False)},
    "test-kill": lambda resource, host: {(resource, True)},
    "test-delete": lambda resource, host: {(resource, True)},
    "test-install": lambda resource, host: {(resource if ":" in resource else f"{resource}@{host}", True)},
}


def _needs(job: Job) -> set[tuple[str, bool]]:
    return _NEEDS[job.operation](job.resource, job.host)


def _conflict(one: Job, other: Job) -> bool:
    return any(
        name == other_name and (exclusive or other_exclusive)
        for name, exclusive in _needs(one)
        for other_name, other_exclusive in _needs(other)
    )


class Engine(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        Job.objects.all().delete()
        self.now = NOW
        self.stale: list[Job] = []
        # As they were after the last step: preconditions are asked many times for each.
        self.jobs: list[Job] = []

    def _active(self) -> list[Job]:
        return list(Job.objects.active().order_by("pk"))

    @rule(
        operation=st.sampled_from(["test-start", "test-start", "test-stop", "test-kill", "test-delete"]),
        server=st.integers(1, 3),
        host=st.sampled_from(_HOSTS),
    )
    def ask_of_a_server(self, operation: str, server: int, host: str) -> None:
        self._ask(operation, f"server:{server}", host)

    @rule(resource=st.sampled_from(["game", "game", "overlay:1"]), host=st.sampled_from(_HOSTS))
    def ask_to_install(self, resource: str, host: str) -> None:
        self._ask("test-install", resource, host)

    def _ask(self, operation: str, resource: str, host: str) -> None:
        try:
            job = actions.request(operation=operation, resource=resource, by=None, host=host)
        except actions.Refused:
            assert Job.objects.live().filter(resource=resource, operation="test-delete").exists()
        else:
            assert job.is_live

    @rule(host=st.sampled_from(_HOSTS), worker=st.sampled_from(_WORKERS), limit=st.integers(1, 3))
    def claim(self, host: str, worker: str, limit: int) -> None:
        live = list(Job.objects.live())
        claimed = transitions.claim(host=host, worker=worker, limit=limit, now=self.now, lease=LEASE)
        for job in claimed:
            overtaken = [other for other in live if other.pk < job.pk and _conflict(job, other)]
            assert not overtaken, f"{job} overtook {overtaken}"

    @precondition(lambda self: any(job.state in ACTIVE for job in self.jobs))
    @rule(
        data=st.data(), state=st.sampled_from([State.SUCCEEDED, State.FAILED, State.CANCELLED]), and_keep=st.booleans()
    )
    def finish(self, data: st.DataObject, state: State, and_keep: bool) -> None:
        job = data.draw(st.sampled_from(self._active()))
        was = job.state
        ended = transitions.finish(job, state=state, now=self.now)
        assert ended is (state != State.CANCELLED or was == State.CANCELLING)
        if and_keep:
            self.stale.append(job)

    @precondition(lambda self: any(job.state in ACTIVE for job in self.jobs))
    @rule(data=st.data())
    def hand_back(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self._active()))
        self.stale.append(job)
        assert transitions.hand_back(job, why="The worker stops.", now=self.now) is (job.state == State.RUNNING)

    @precondition(lambda self: any(job.is_live for job in self.jobs))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(list(Job.objects.live().order_by("pk"))))
        try:
            actions.cancel(job=job, by=None)
        except actions.Refused:
            assert (job.operation, job.state) == ("test-delete", State.RUNNING)

    @rule(survivor=st.sampled_from([*_WORKERS, ""]))
    def a_lease_runs_out(self, survivor: str) -> None:
        self.stale += [job for job in self._active() if job.worker != survivor]
        self.now += LEASE * 0.6
        transitions.renew(worker=survivor, jobs=[job.pk for job in self._active()], now=self.now, lease=LEASE)
        self.now += LEASE * 0.6
        sweep.settle_abandoned(host="elsewhere", now=self.now)
        assert not Job.objects.abandoned(self.now, lease=LEASE).exists()

    @precondition(lambda self: self.stale)
    @rule(data=st.data())
    def a_worker_that_lost_its_job_comes_back(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.stale))
        row = Job.objects.get(pk=job.pk)
        still_its_own = row.state in ACTIVE and (row.worker, row.attempt) == (job.worker, job.attempt)
        if not still_its_own:
            assert not transitions.finish(job, state=State.SUCCEEDED, now=self.now)
            assert not transitions.hand_back(job, why="Late.", now=self.now)
            assert Job.objects.get(pk=job.pk).state == row.state

    @invariant()
    def jobs_locks_and_logs_fit(self) -> None:
        self.jobs = list(Job.objects.order_by("pk"))
        self._no_conflict_runs([job for job in self.jobs if job.state in ACTIVE])
        self._live_jobs_have_their_locks_and_no_others_do([job for job in self.jobs if job.is_live])
        self._logs_have_no_gap()

    def _no_conflict_runs(self, active: list[Job]) -> None:
        for one, other in combinations(active, 2):
            assert not _conflict(one, other), f"{one} and {other} run side by side"

    def _live_jobs_have_their_locks_and_no_others_do(self, live: list[Job]) -> None:
        held = set(JobLock.objects.values_list("job", "resource", "exclusive"))
        assert held == {(job.pk, *need) for job in live for need in _needs(job)}

    def _logs_have_no_gap(self) -> None:
        seqs: dict[int, list[int]] = {job.pk: [] for job in self.jobs}
        for job, seq in JobLog.objects.order_by("seq").values_list("job", "seq"):
            seqs[job].append(seq)
        assert seqs == {job.pk: list(range(1, job.last_seq + 1)) for job in self.jobs}

    def teardown(self) -> None:
        for _ in range(Job.objects.live().count() + 1):
            for job in self._active():
                state = State.CANCELLED if job.state == State.CANCELLING else State.SUCCEEDED
                assert transitions.finish(job, state=state, now=self.now)
            for host in _HOSTS:
                transitions.claim(host=host, worker="last", limit=100, now=self.now, lease=timedelta(seconds=15))
        assert not Job.objects.filter(state__in=LIVE).exists(), "somebody waits for ever"
        assert not JobLock.objects.exists()


# What it runs is covered by the others; counting makes it take longer.
@pytest.mark.no_cover
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_engine_holds_in_whatever_order_things_happen(db):
    run_state_machine_as_test(
        Engine,
        settings=settings(
            max_examples=60,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
