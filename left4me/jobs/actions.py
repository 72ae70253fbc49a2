"""Requests, cancels and retries of jobs, for views and other apps."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from left4me.core import logbook, rows
from left4me.core.statements import Given, Selection, select
from left4me.core.web import refusals
from left4me.core.web.refusals import Cure
from left4me.jobs import broadcast, dispatch, operations, permissions, resources, transitions
from left4me.jobs.models import Job, JobLock
from left4me.jobs.operations import Lock
from left4me.jobs.output import logs
from left4me.jobs.states import State

if TYPE_CHECKING:
    from datetime import datetime

    from left4me.core.web.request import Person

Refused = refusals.Refused

_RESOURCE = re.compile(r"[a-z][a-z-]{0,31}(:[1-9]\d{0,18})?")

# The key of the advisory lock that serializes requests: an arbitrary number, the same in every process.
_REQUESTS_TAKE_TURNS = 0x6C346A6F


def request(
    *, operation: str, resource: str, by: Person | None, host: str, params: Mapping[str, Any] | None = None
) -> Job:
    """Return the job that will do `operation` on `resource`: a new one, or an equal one that is already queued.

    `by=None` is the system. Jobs that the operation supersedes are cancelled. The Celery task is sent after the
    caller's transaction commits. Raises Refused.
    """
    wanted = _operation(operation)
    if not _RESOURCE.fullmatch(resource):
        raise Refused(_("“%(resource)s” is not a valid resource.") % {"resource": resource})
    now = timezone.now()
    # As JSON returns them (lists for tuples, strings for keys): otherwise an equal job would not compare equal.
    stored: dict[str, Any] = json.loads(json.dumps(dict(params or {})))
    with transaction.atomic():
        _take_turn()
        live = _live(on_host=":" not in resource).rows(resource=resource, host=host)
        # Only the newest counts: a "start" after a queued "stop" is not the same as the "start" before it.
        if live and _is_equal(live[0], wanted, host=host, params=stored):
            return live[0]
        _refuse_when_closed(wanted, live, by=by)
        _refuse_when_flooding(by)
        job = Job(
            user_id=by.pk if by else None,
            operation=operation,
            resource=resource,
            host=host,
            params=stored,
            request_id=logbook.current("request") or "",
            created_at=now,
            last_seq=1,
        )
        rows.add(job)
        _lock(job, wanted)
        logs.first_event(job, f"Requested by {by.get_username() if by else 'the system'}.", now=now)
        _supersede(live, job, wanted, now=now)
        dispatch.send_after_commit(job)
        broadcast.change_after_commit(job)
    return job


def cancel(*, job: Job, by: Person | None) -> Job:
    """Cancel a queued job at once, or ask a running one to stop, which takes up to two seconds. Raises Refused."""
    if job.state == State.CANCELLING:
        return job
    who = by.get_username() if by else "the system"
    if transitions.stop(job, why=f"Cancelled by {who}.", now=timezone.now()) is None:
        job.refresh_from_db()
        if job.state == State.CANCELLING:
            return job
        if job.has_ended:
            raise Refused(_("This job has already finished."))
        raise Refused(_("This job can't be cancelled once it has started."))
    job.refresh_from_db()
    return job


def retry(*, job: Job, by: Person | None) -> Job:
    """Request the same as a failed or cancelled job; return the new job. Raises Refused."""
    if job.state not in (State.FAILED, State.CANCELLED):
        raise Refused(_("Only failed or cancelled jobs can be retried."))
    with transaction.atomic():
        resources.before_retry(job.resource, job.operation)
        again = request(operation=job.operation, resource=job.resource, by=by, host=job.host, params=job.params)
    logs.event(again.pk, f"Retry of job {job.pk}.", now=timezone.now())
    return again


def lock_name(lock: Lock, host: str) -> str:
    """The name under which locks conflict: `game` on one host is another resource than `game` on another."""
    return lock.resource if ":" in lock.resource else f"{lock.resource}@{host}"


def _operation(name: str) -> operations.Operation:
    try:
        return operations.get(name)
    except operations.UnknownOperation:
        raise Refused(_("There is no operation named “%(name)s”.") % {"name": name}) from None


def _take_turn() -> None:
    """Let no other request get an id until the commit.

    PostgreSQL assigns ids before the commit, so a job could become visible with a smaller id than one that already
    runs, and would count as the older one. SQLite has one writer at a time.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_REQUESTS_TAKE_TURNS])


@functools.cache
def _live(*, on_host: bool) -> Selection[Job]:
    """The live jobs on a resource, on all hosts or on one; the newest comes first."""
    jobs = Job.objects.live().filter(resource=Given("resource")).order_by("-pk")
    return select(lambda: jobs.filter(host=Given("host")) if on_host else jobs)


def _is_equal(job: Job, wanted: operations.Operation, *, host: str, params: dict[str, Any]) -> bool:
    if (job.operation, job.host, job.params) != (wanted.name, host, params):
        return False
    return job.state == State.QUEUED or (wanted.coalesces_active and job.state == State.RUNNING)


def _refuse_when_closed(wanted: operations.Operation, live: Sequence[Job], *, by: Person | None) -> None:
    for job in live:
        operation = operations.find(job.operation)
        if operation is None or not operation.final or operation.name == wanted.name:
            continue
        may_see = by is not None and permissions.can_see(by, job)
        raise Refused(
            _("“%(title)s” is in progress. Wait until it has finished.") % {"title": operation.title},
            cure=Cure(label=_("Open job"), url=job.get_absolute_url()) if may_see else None,
        )


_count_waiting: Selection[tuple[int]] = select(
    lambda: (
        Job.objects.queued()
        .filter(user_id=Given("user"))
        .order_by()
        .values("user_id")
        .annotate(count=Count("pk"))
        .values_list("count")
    )
)


def _refuse_when_flooding(by: Person | None) -> None:
    if by is None:
        return
    if sum(count for (count,) in _count_waiting.rows(user=by.pk)) >= settings.LEFT4ME_JOBS_WAITING_PER_USER:
        raise Refused(
            _("You have too many queued jobs. Wait until some have finished, or cancel some."),
            cure=Cure(label=_("Show queued jobs"), url=f"{reverse('jobs:index')}?state={State.QUEUED}"),
        )


def _lock(job: Job, wanted: operations.Operation) -> None:
    names: dict[str, bool] = {}
    for lock in wanted.locks(job):
        name = lock_name(lock, job.host)
        names[name] = names.get(name, False) or lock.exclusive
    locks = [(job.pk, name, exclusive) for name, exclusive in names.items()]
    rows.insert(JobLock, ("job", "resource", "exclusive"), locks)


def _supersede(live: Sequence[Job], job: Job, wanted: operations.Operation, *, now: datetime) -> None:
    for older in live:
        if wanted.supersedes_operation(older.operation):
            stopped = transitions.stop(older, why=f"Superseded by job {job.pk}: {wanted.name}.", now=now)
            if stopped is not None:
                logs.event(job.pk, f"Supersedes job {older.pk}: {older.operation}.", now=now)
