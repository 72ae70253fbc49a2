import threading
from datetime import UTC, datetime

from django.apps import apps
from django.db import connection
from django.db.models import F
from django.db.models.functions import Upper
from django.test.utils import CaptureQueriesContext

from left4me.core import rows
from left4me.core.statements import Given, Numbers, Texts, delete, select, select_for, update

# By name: these leaves know no app.
Job, JobLock, JobLog = (apps.get_model("jobs", name) for name in ("Job", "JobLock", "JobLog"))
NOW = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
_on_resource = select(lambda: Job.objects.filter(resource=Given("resource")).order_by("pk"))
_numbers = select(lambda: Job.objects.filter(resource=Given("resource")).order_by("-pk").values_list("pk", "host"))
_of_user = select(
    lambda: (
        Job.objects.filter(user_id=Given("user"))
        .select_related("user")
        .annotate(upper=Upper("operation"))
        .prefetch_related("log")
    )
)
_in_order = Job.objects.order_by("pk").values_list("pk", flat=True)
_with_ids = select(lambda: _in_order.filter(pk__in=Numbers("ids")))
_without = select(lambda: _in_order.exclude(resource__in=Texts("resources")))
_first_seen = select_for(lambda visitor: _in_order.all() if visitor.is_admin else _in_order.filter(user_id=visitor.pk))
_end = update(
    lambda: Job.objects.filter(pk=Given("pk"), state="queued"),
    state="failed",
    finished_at=Given("now"),
    exit_code=Given("exit_code"),
    progress=Given("progress"),
    last_seq=F("last_seq") + Given("lines"),
)
_count = update(
    lambda: Job.objects.filter(pk=Given("pk")), last_seq=F("last_seq") + Given("lines"), returning=["last_seq"]
)
_free = delete(lambda: JobLock.objects.filter(job_id=Given("job")))


def _job(resource="server:1", **fields):
    job = Job(operation="test", resource=resource, host="local", created_at=NOW, **fields)
    rows.add(job)
    return job


def _fields(job):
    return {field.attname: getattr(job, field.attname) for field in Job._meta.concrete_fields}


def test_a_select_returns_what_its_queryset_would_for_the_given_values(db):
    first, second, _ = _job(params={"a": [1]}), _job(progress={"done": 1}), _job("server:2")
    found = _on_resource.rows(resource="server:1")
    assert [_fields(job) for job in found] == [_fields(Job.objects.get(pk=job.pk)) for job in (first, second)]
    assert _on_resource.rows(resource="server:3") == []
    assert [tuple(row) for row in _numbers.rows(resource="server:1")] == [(second.pk, "local"), (first.pk, "local")]


def test_a_select_returns_related_rows_annotations_and_prefetches(cast):
    job = _job(user=cast.owner)
    _job(user=cast.stranger)
    JobLog.objects.create(job=job, seq=1, stream="stdout", line="“ready”", created_at=NOW)
    for _ in range(2):
        with CaptureQueriesContext(connection) as queries:
            (found,) = _of_user.rows(user=cast.owner.pk)
            assert (found.user, found.upper, [each.line for each in found.log.all()]) == (
                cast.owner,
                "TEST",
                ["“ready”"],
            )
        assert len(queries) == 2
    assert _of_user.first(user=0) is None


def test_lists_of_any_length_are_one_parameter(db):
    jobs = [_job(f"server:{number}").pk for number in range(3)]
    for ids in ([], jobs[:1], set(jobs), [*jobs, 2**40]):
        assert _with_ids.rows(ids=ids) == sorted(set(ids) & set(jobs))
    assert _without.rows(resources=["server:1", "“”"]) == [jobs[0], jobs[2]]
    assert _without.rows(resources=[]) == jobs


def test_a_select_for_a_visitor_finds_what_that_one_may_see(cast):
    own, other = _job(user=cast.owner).pk, _job(user=cast.stranger).pk
    seen = [_first_seen.rows(user) for user in (cast.owner, cast.admin, cast.stranger)]
    assert seen == [[own], [own, other], [other]]
    assert _first_seen.first(cast.admin) == own


def test_an_admin_who_was_deactivated_finds_no_more_than_others(cast):
    _job(user=cast.stranger)
    cast.admin.is_active = False
    assert _first_seen.rows(cast.admin) == []


def test_an_update_returns_the_rows_that_it_has_changed_as_they_are_now(db):
    job = _job(last_seq=2)
    given = {"pk": job.pk, "now": NOW, "exit_code": None, "progress": {"phase": "“ready”"}, "lines": 3}
    (changed,) = _end.rows(**given)
    assert _fields(changed) == _fields(Job.objects.get(pk=job.pk))
    assert (changed.state, changed.finished_at, changed.last_seq) == ("failed", NOW, 5)
    assert changed.progress == {"phase": "“ready”"}
    assert _end.rows(**given) == []
    assert [tuple(row) for row in _count.rows(pk=job.pk, lines=2)] == [(7,)]


def test_a_change_without_rows_says_how_many_it_has_changed(db):
    job = _job()
    JobLock.objects.create(job=job, resource="a", exclusive=True)
    JobLock.objects.create(job=job, resource="b", exclusive=False)
    assert _free.run(job=job.pk) == 2
    assert _free.run(job=job.pk) == 0
    assert _count.run(pk=job.pk, lines=1) == 1


def test_the_row_that_was_added_is_a_saved_one(db):
    job = _job()
    job.error = "changed"
    job.save(update_fields=["error"])
    assert Job.objects.get() == job


def test_each_run_is_one_query_and_its_sql_is_built_once(db, monkeypatch):
    job = _job()
    _on_resource.rows(resource="server:1")
    monkeypatch.setattr(Job.objects, "filter", None)
    with CaptureQueriesContext(connection) as queries:
        assert _on_resource.rows(resource="server:1") == [job]
    assert len(queries) == 1


def test_threads_use_their_own_connections(transactional_db):
    job = _job()
    found = []

    def look():
        found.extend(_on_resource.rows(resource="server:1"))
        connection.close()

    for _ in range(2):
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    assert found == [job, job]
    assert found[0].created_at == NOW
