import pytest
from django.utils import timezone

from left4me.jobs import actions, transitions
from left4me.jobs.models import JobLock
from left4me.jobs.states import State
from left4me.jobs.tests.conftest import NOW, story


def test_a_request_is_a_queued_row_with_its_locks_and_the_first_line_of_its_story(ask, anna):
    job = ask("test-start", "server:12", by=anna, map="c1m1_hotel")
    assert (job.state, job.user, job.params) == (State.QUEUED, anna, {"map": "c1m1_hotel"})
    assert set(job.locks.values_list("resource", "exclusive")) == {("server:12", True), ("game@local", False)}
    assert story(job) == ["Requested by anna."]


@pytest.mark.parametrize("resource", ["", "server:", "server:0", "Server:1", "server:1:2", "server:x", "server 1"])
def test_a_resource_that_is_none_is_refused(ask, resource):
    with pytest.raises(actions.Refused, match="is not a valid resource"):
        ask("test-start", resource)


def test_an_operation_that_no_app_registered_is_refused(ask):
    with pytest.raises(actions.Refused, match="no operation named “dance”"):
        ask("dance")


def test_asking_for_what_already_waits_returns_that_job(ask, anna):
    first = ask("test-start", by=anna)
    assert ask("test-start", by=anna) == first
    assert ask("test-start", by=anna, map="other") != first
    assert ask("test-start", "server:2", by=anna) != first


def test_asking_again_while_it_runs_queues_another_unless_the_operation_coalesces_with_running_ones(ask, claim):
    start, install = ask("test-start", host="a"), ask("test-install", "game", host="b")
    claim(host="a"), claim(host="b")
    assert ask("test-start", host="a") != start
    assert ask("test-install", "game", host="b") == install


def test_a_start_behind_a_waiting_stop_is_not_the_start_before_it(ask, claim):
    running = ask("test-install", "server:1")
    claim()
    stop = ask("test-stop")
    start = ask("test-start")
    again = ask("test-stop")
    assert len({running.pk, stop.pk, start.pk, again.pk}) == 4


def test_a_stop_cancels_the_start_that_waits_and_both_tell_the_story(ask):
    start = ask("test-start")
    stop = ask("test-stop")
    start.refresh_from_db()
    assert start.state == State.CANCELLED
    assert not start.locks.exists()
    assert story(start)[-1] == f"Superseded by job {stop.pk}: test-stop."
    assert story(stop)[-1] == f"Supersedes job {start.pk}: test-start."


def test_a_stop_tells_the_start_that_runs_to_end_and_runs_after_it(ask, claim):
    start = ask("test-start")
    claim()
    stop = ask("test-stop")
    start.refresh_from_db()
    assert start.state == State.CANCELLING
    assert claim() == []
    assert transitions.finish(start, state=State.CANCELLED, now=NOW)
    assert claim() == [stop.pk]


def test_a_kill_cancels_whatever_holds_the_server_and_waits_for_no_install(ask, claim):
    ask("test-install", "game")
    claim()
    start, stop = ask("test-start"), ask("test-stop")
    other = ask("test-start", "server:2")
    kill = ask("test-kill")
    for job in (start, stop, other):
        job.refresh_from_db()
    assert (start.state, stop.state, other.state) == (State.CANCELLED, State.CANCELLED, State.QUEUED)
    assert claim() == [kill.pk]


def test_nothing_is_accepted_for_a_resource_that_is_being_deleted(ask, claim):
    delete = ask("test-delete")
    assert ask("test-delete") == delete
    with pytest.raises(actions.Refused, match="“Delete” is in progress"):
        ask("test-start")
    assert ask("test-start", "server:2")


def test_who_is_refused_because_of_a_job_is_led_to_it_only_if_they_may_see_it(ask, claim, anna, ada, stan):
    delete = ask("test-delete", by=anna)
    ways = {}
    for name, person in (("owner", anna), ("admin", ada), ("stranger", stan), ("system", None)):
        with pytest.raises(actions.Refused) as refused:
            ask("test-start", by=person)
        ways[name] = refused.value.cure and refused.value.cure.url
    assert ways == {
        "owner": delete.get_absolute_url(),
        "admin": delete.get_absolute_url(),
        "stranger": None,
        "system": None,
    }


def test_a_user_cannot_fill_the_queue(ask, anna, stan, settings):
    settings.LEFT4ME_JOBS_WAITING_PER_USER = 2
    ask("test-start", "server:1", by=anna), ask("test-start", "server:2", by=anna)
    with pytest.raises(actions.Refused, match="too many queued jobs"):
        ask("test-start", "server:3", by=anna)
    assert ask("test-start", "server:3", by=stan)


def test_a_waiting_job_is_cancelled_at_once_and_only_once(ask, anna):
    job = actions.cancel(job=ask("test-start"), by=anna)
    assert job.state == State.CANCELLED
    assert job.finished_at is not None
    assert story(job)[-1] == "Cancelled by anna."
    with pytest.raises(actions.Refused, match="already finished"):
        actions.cancel(job=job, by=anna)
    assert JobLock.objects.count() == 0


def test_a_running_job_is_told_once_to_stop(ask, claim, anna):
    job = ask("test-start")
    claim()
    assert actions.cancel(job=job, by=anna).state == State.CANCELLING
    assert actions.cancel(job=job, by=anna).state == State.CANCELLING
    assert story(job).count("Cancelled by anna.") == 1


def test_what_cannot_be_cancelled_while_it_runs_says_so(ask, claim, anna):
    job = ask("test-delete")
    claim()
    with pytest.raises(actions.Refused, match="be cancelled once"):
        actions.cancel(job=job, by=anna)


def test_a_failed_job_is_tried_again_as_a_job_of_its_own(ask, claim, anna):
    job = ask("test-start", map="c2m1")
    with pytest.raises(actions.Refused, match="failed or cancelled"):
        actions.retry(job=job, by=anna)
    claim()
    job.refresh_from_db()
    transitions.finish(job, state=State.FAILED, now=timezone.now(), exit_code=1, error="no space")
    job.refresh_from_db()
    again = actions.retry(job=job, by=anna)
    assert again.pk != job.pk
    assert (again.operation, again.resource, again.params, again.user) == ("test-start", "server:1", job.params, anna)
    assert story(again)[-1] == f"Retry of job {job.pk}."
    assert actions.retry(job=job, by=anna) == again


def test_the_end_of_a_job_is_offered_while_it_can_still_be_ended(ask, claim, anna):
    start, delete = ask("test-start", "server:1"), ask("test-delete", "server:2")
    offered = [[start.can_be_cancelled, delete.can_be_cancelled]]
    claim()
    for job in (start, delete):
        job.refresh_from_db()
    offered.append([start.can_be_cancelled, delete.can_be_cancelled])
    offered.append([actions.cancel(job=start, by=anna).can_be_cancelled])
    assert offered == [[True, True], [True, False], [False]]
