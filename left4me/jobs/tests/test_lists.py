"""Lists of jobs, their logs and their pages: filters, windows, bounds and the words beside them."""

from __future__ import annotations

import pytest
from django.template import Context, Template
from django.urls import reverse
from django.utils import timezone

from left4me.audit.models import AuditEntry
from left4me.core import logbook
from left4me.core.web.refusals import Cure
from left4me.jobs import actions, phases, queue_reasons, resources, states, streams, transitions
from left4me.jobs.forms import Filter
from left4me.jobs.models import Job, JobLog
from left4me.jobs.output import logs
from left4me.jobs.states import State
from left4me.jobs.tests.conftest import NOW

pytestmark = pytest.mark.usefixtures("redis_client")


@pytest.fixture
def api(client, anna):
    client.force_login(anna)
    return lambda path: client.get(f"/api/v1{path}")


def fill(job: Job, last: int) -> None:
    JobLog.objects.bulk_create(
        JobLog(job=job, seq=n, stream="stdout", line=f"line {n}", created_at=NOW) for n in range(2, last + 1)
    )
    Job.objects.filter(pk=job.pk).update(last_seq=last)


# --- filters ---


def test_a_filter_knows_whether_it_narrows(anna, ada):
    narrows = {
        query: Filter(dict([query.split("=")]), user=ada).narrows
        for query in ("whose=all", "state=live", "state=odd", "operation=test-start", "resource=game", "operation=odd")
    }
    assert narrows == {
        "whose=all": False,
        "state=live": True,
        "state=odd": False,
        "operation=test-start": True,
        "resource=game": True,
        "operation=odd": False,
    }
    assert "whose" in Filter({}, user=ada).fields and "whose" not in Filter({}, user=anna).fields


def test_jobs_on_a_resource_are_listed_for_who_may_see_it_whoever_requested_them(ask, anna, stan, ada, monkeypatch):
    monkeypatch.setattr(resources, "_kinds", {})
    resources.register("server", can_see=lambda user, number: user == stan and number == "1")
    own, other = ask("test-start", "server:1", by=anna), ask("test-start", "server:2", by=anna)

    def listed(user, **query: str) -> list[Job]:
        return list(Filter(query, user=user).jobs())

    assert listed(stan, resource="server:1") == [own]
    assert listed(stan, resource="server:2") == listed(stan) == []
    assert listed(anna) == [other, own]
    assert listed(anna, resource="server:1") == [own], "their own"
    assert listed(ada, whose="all") == [other, own]
    assert listed(ada, whose="all", resource="server:2", state="queued") == [other]
    assert listed(ada, whose="all", state="live", operation="test-install") == []


def test_a_window_of_a_log_has_bounds(api, ask, anna):
    job = ask("test-start", by=anna)
    fill(job, 700)

    def seqs(query: str) -> list[int]:
        return [line["seq"] for line in api(f"/jobs/{job.pk}/log?{query}").json()["items"]]

    assert seqs("") == list(range(1, 501))
    assert seqs("after=690") == list(range(691, 701))
    assert seqs("after=2&limit=1") == [3]
    queries = ("limit=0", "limit=5001", "limit=5000", "after=-1")
    statuses = {query: api(f"/jobs/{job.pk}/log?{query}").status_code for query in queries}
    assert statuses == {"limit=0": 422, "limit=5001": 422, "limit=5000": 200, "after=-1": 422}


def test_a_job_says_who_asked_and_why_it_waits(api, ask, anna, monkeypatch):
    monkeypatch.setattr(queue_reasons, "_host_health", [])
    first = ask("test-install", "game", by=anna)
    second = ask("test-start", "server:1", by=anna)
    why = f"Waiting for “Install” (job {first.pk}), queued before it"
    assert api(f"/jobs/{second.pk}").json()["waiting_for"] == why
    listed = {each["id"]: each["waiting_for"] for each in api("/jobs").json()["items"]}
    assert listed[first.pk] == "" and listed[second.pk] == why
    assert api(f"/jobs/{first.pk}").json()["asked_by"] == "anna"
    Job.objects.update(user=None, operation="test-start")
    assert api("/jobs").json()["count"] == 0


def test_what_is_done_to_jobs_by_the_api_is_on_record(client, ask, anna):
    client.force_login(anna)
    job = ask("test-start", by=anna)
    client.post(f"/api/v1/jobs/{job.pk}/cancel")
    again = client.post(f"/api/v1/jobs/{job.pk}/retry").json()["id"]
    entries = AuditEntry.objects.order_by("pk").values_list("action", "actor", "target", "details")
    assert list(entries) == [
        ("job.cancel", "anna", f"job:{job.pk}", {}),
        ("job.retry", "anna", f"job:{job.pk}", {"job": again}),
    ]


# --- pages ---


@pytest.fixture
def view(client, anna):
    client.force_login(anna)
    return lambda job, **headers: client.get(job.get_absolute_url(), headers=headers)


def failed(ask, anna, claim) -> Job:
    job = ask("test-start", "server:12", by=anna)
    claim(now=timezone.now())
    job.refresh_from_db()
    transitions.finish(job, state=State.FAILED, now=timezone.now(), exit_code=1, error="No.")
    job.refresh_from_db()
    return job


@pytest.mark.parametrize(("last", "shown", "left_out"), [(500, 500, 0), (501, 500, 1), (1, 1, 0)])
def test_a_page_shows_the_last_lines(view, ask, anna, last, shown, left_out):
    job = ask("test-start", by=anna)
    fill(job, last)
    context = view(job).context
    assert (len(context["lines"]), context["last_seq"], context["left_out"]) == (shown, last, left_out)


def test_a_page_without_lines_begins_at_the_beginning(view, ask, anna):
    job = ask("test-start", by=anna)
    JobLog.objects.all().delete()
    assert (view(job).context["last_seq"], view(job).context["left_out"]) == (0, 0)


def test_a_poll_gets_only_what_changes(view, ask, anna):
    job = ask("test-start", by=anna)
    part = view(job, **{"HX-Request": "true", "HX-Target": "job"})
    assert b"<html" not in part.content and "lines" not in part.context
    for headers in ({"HX-Request": "true", "HX-Target": "jobs"}, {"HX-Target": "job"}):
        assert b"<html" in view(job, **headers).content


def test_what_helps_after_a_failure_is_offered_beside_the_retry(view, ask, anna, claim, monkeypatch):
    monkeypatch.setattr(resources, "_kinds", {})
    cures = [Cure(label=operation, url="/x", operation=operation) for operation in ("free", "test-start")]
    resources.register("server", can_see=lambda *_: True, mend=lambda user, number: cures[0])
    waiting = ask("test-start", "server:3", by=anna)
    job = failed(ask, anna, claim)
    assert view(job).context["cure"] == cures[0]
    assert view(waiting).context["cure"] is None
    cures.pop(0)
    assert view(job).context["cure"] is None, "the same as the retry"


def test_a_refused_cancel_is_told_and_not_on_record(client, ask, anna, claim):
    client.force_login(anna)
    job = failed(ask, anna, claim)
    answer = client.post(reverse("jobs:cancel", args=[job.pk]), follow=True)
    assert "already finished" in answer.content.decode()
    assert not AuditEntry.objects.exists()


def test_the_file_of_a_log_has_a_name_and_each_line_its_time_and_stream(client, ask, anna):
    client.force_login(anna)
    job = ask("test-start", by=anna)
    logs.append(job.pk, [("stderr", "oh", NOW)])
    answer = client.get(reverse("jobs:log", args=[job.pk]))
    assert answer["Content-Disposition"] == f'attachment; filename="job-{job.pk}.log"'
    assert b"".join(answer.streaming_content).endswith(b"2030-01-01T12:00:00.000000Z stderr oh\n")


def test_the_test_of_the_worker_runs_here_for_four_seconds(client, ada, settings):
    settings.LEFT4ME_HOST = "here"
    client.force_login(ada)
    client.post(reverse("jobs:diagnose"))
    job = Job.objects.get()
    assert (job.host, job.resource, job.user) == ("here", "diagnostic", ada)
    assert job.params == {"lines": 20, "interval": 0.2}


def test_django_s_admin_shows_jobs_and_changes_none(client, ask, ada):
    client.force_login(ada)
    job = ask("test-start")
    assert client.get("/admin/jobs/job/").status_code == 200
    shown = client.get(f"/admin/jobs/job/{job.pk}/change/")
    assert shown.status_code == 200
    assert "server:1" in shown.content.decode() and "Save" not in shown.content.decode()


# --- actions ---


def test_a_request_gets_the_id_of_its_request_and_plain_values(ask, anna):
    with logbook.bound(request="r1"):
        job = ask("test-start", numbers=(1, 2), names={3: "x"})
    assert (job.request_id, job.params) == ("r1", {"numbers": [1, 2], "names": {"3": "x"}})
    assert ask("test-start", numbers=[1, 2], names={"3": "x"}) == job
    assert ask("test-stop").request_id == ""


def test_a_job_on_a_host_s_own_resource_is_another_on_each_host(ask):
    here, there = ask("test-install", "game", host="a"), ask("test-install", "game", host="b")
    assert here != there
    ask("test-delete", "game", host="a")
    assert ask("test-install", "game", host="b") == there


def test_equal_requests_for_different_hosts_are_different_jobs(ask):
    assert ask("test-start", host="a") != ask("test-start", host="b")


@pytest.mark.parametrize(("resource", "is_valid"), [("a" * 33, False), ("a" * 32, True), ("a:" + "9" * 19, True)])
def test_the_name_of_a_resource_has_a_length(ask, resource, is_valid):
    if is_valid:
        assert ask("test-kill", resource)
        return
    with pytest.raises(actions.Refused):
        ask("test-kill", resource)


def test_a_cancel_that_comes_second_is_granted(ask, claim, anna):
    job = ask("test-start")
    claim()
    seen = Job.objects.get()
    actions.cancel(job=job, by=anna)
    assert actions.cancel(job=seen, by=anna).state == State.CANCELLING


def test_the_app_of_a_resource_may_refuse_a_retry(ask, anna, claim, monkeypatch):
    def refuse(number: str, operation: str) -> None:
        raise actions.Refused(f"{number} {operation}")

    monkeypatch.setattr(resources, "_kinds", {})
    resources.register("server", can_see=lambda *_: True, before_retry=refuse)
    job = failed(ask, anna, claim)
    with pytest.raises(actions.Refused, match="12 test-start"):
        actions.retry(job=job, by=anna)
    assert Job.objects.count() == 1


def test_so_many_jobs_of_a_user_wait_and_who_is_refused_is_led_to_them(ask, anna, claim, settings):
    settings.LEFT4ME_JOBS_WAITING_PER_USER = 1
    ask("test-start", by=anna)
    with pytest.raises(actions.Refused) as refused:
        ask("test-start", "server:2", by=anna)
    assert refused.value.cure is not None and refused.value.cure.url == "/jobs?state=queued"
    assert ask("test-start", "server:2"), "the system is not limited"
    claim(limit=1)
    assert ask("test-start", "server:3", by=anna), "what runs does not wait"


# --- streams ---


def test_the_stream_of_a_job_is_for_who_may_see_it(ask, anna, stan):
    job = ask("test-start", by=anna)
    opened = streams.open_stream(anna, str(job.pk))
    assert opened is not None and opened.channel == f"left4me:job:{job.pk}"
    assert streams.open_stream(stan, str(job.pk)) is None
    assert streams.open_stream(anna, "999999") is None
    seen, hidden, gone = opened.standing(anna), opened.standing(stan), streams.JobStream(999999).standing(anna)
    assert (seen.allowed, seen.newest, seen.ended) == (True, (1,), False)
    assert (hidden.allowed, gone.allowed, gone.ended) == (False, False, True)


def test_the_messages_of_a_job_become_events():
    stream = streams.JobStream(1)
    line = '{"seq":3,"line":"x"}'
    lines = stream.decode(f'{{"after":2,"lines":[{line}]}}'.encode())
    assert ([(e.kind, e.data, e.position) for e in lines.events], lines.after) == ([("line", line, (3,))], (2,))
    end = stream.decode(b'{"after":3,"end":{"id":1}}')
    assert end.end is not None and (end.after, end.end.kind, end.end.data) == ((3,), "end", '{"id":1}')
    progress, state = stream.decode(b'{"progress":{"done":1}}'), stream.decode(b'{"state":"running"}')
    assert [(m.events[0].kind, m.events[0].data, m.after) for m in (progress, state)] == [
        ("progress", '{"done":1}', None),
        ("state", '{"state":"running"}', None),
    ]


def test_a_replay_has_pages_the_progress_of_a_live_job_and_the_end_of_another(ask, claim, anna):
    job = ask("test-start", by=anna)
    fill(job, 300)
    Job.objects.update(progress={"done": 1})
    stream = streams.JobStream(job.pk)
    first, second = stream.replay((0,)), stream.replay((250,))
    assert (len(first.events), first.position, first.more, first.end) == (250, (250,), True, None)
    assert [event.kind for event in second.events] == ["line"] * 50 + ["progress"]
    assert (second.position, second.more, second.end) == ((300,), False, None)
    assert stream.replay((9999,)).position == (300,)
    claim()
    job.refresh_from_db()
    transitions.finish(job, state=State.SUCCEEDED, now=NOW, exit_code=0)
    last = stream.replay((300,))
    assert last.events == () and last.end is not None and '"state":"succeeded"' in last.end.data
    assert stream.replay((0,)).end is None, "not before the last page"
    Job.objects.all().delete()
    gone = stream.replay((5,))
    assert (gone.position, gone.end and gone.end.data) == ((5,), f'{{"id":{job.pk},"state":"deleted"}}')


@pytest.mark.parametrize(("last", "first_seq", "note"), [(2_000, 1, None), (2_001, 2, "1 lines not shown")])
def test_only_the_last_lines_of_a_long_log_are_replayed(ask, last, first_seq, note):
    job = ask("test-start")
    fill(job, last)
    events = streams.JobStream(job.pk).replay((0,)).events
    notes = [event.data for event in events if event.kind == "note"]
    assert notes == ([note] if note else [])
    assert next(event for event in events if event.kind == "line").position == (first_seq,)


# --- words ---


def test_which_transitions_there_are():
    assert states.allowed("queued", "running")
    assert not states.allowed("succeeded", "running") and not states.allowed("running", "running")


def test_units_and_phases_have_words_for_pages_and_scripts():
    assert phases.unit("items") == "items" and phases.unit("odd") == "odd"
    assert phases.phase("copying “Maps”") == "copying “Maps”", "it has no words with a name"
    assert phases.phase("downloading “Maps”") == "Downloading “Maps”"
    words = phases.words()
    assert words["ready"] == "Ready" and words["files"] == "files"
    shown = Template("{% load jobs %}{{ 'ready'|phase }} {{ 'files'|unit }}").render(Context())
    assert shown == "Ready files"


def test_a_resource_is_shown_by_its_label(ask):
    job = ask("test-start")
    label = resources.Label("<Friday>", "/servers/1")
    template = Template("{% load jobs %}{% resource_label job labels %}")
    given = (label, {"server:1": label}, {}, "")
    shown = [template.render(Context({"job": job, "labels": labels})) for labels in given]
    link = '<a href="/servers/1">&lt;Friday&gt;</a>'
    plain = '<span class="mono">server:1</span>'
    assert shown == [link, link, plain, plain]
