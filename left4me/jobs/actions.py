"""Requests, cancels and retries of jobs, for views and other apps."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import connection, transaction
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from left4me.core import logbook
from left4me.core.web import refusals
from left4me.core.web.refusals import Cure
from left4me.jobs import broadcast, dispatch, operations, permissions, resources, transitions
from left4me.jobs.models import Job, JobLock, JobQuerySet
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
        equal = _equal_waiting(wanted, resource=resource, host=host, params=stored)
        if equal is not None:
            return equal
        _refuse_when_closed(wanted, resource=resource, host=host, by=by)
        _refuse_when_flooding(by)
        job = Job.objects.create(
            user_id=by.pk if by else None,
            operation=operation,
            resource=resource,
            host=host,
            params=stored,
            request_id=logbook.current("request") or "",
            created_at=now,
            last_seq=1,
        )
        _lock(job, wanted)
        logs.first_event(job, f"Requested by {by.get_username() if by else 'the system'}.", now=now)
        _supersede(job, wanted, now=now)
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


def _equal_waiting(wanted: operations.Operation, *, resource: str, host: str, params: dict[str, Any]) -> Job | None:
    # Only the newest counts: a "start" after a queued "stop" is not the same as the "start" before it.
    newest = _live_on(resource, host).order_by("-pk").first()
    if newest is None or (newest.operation, newest.host, newest.params) != (wanted.name, host, params):
        return None
    if newest.state == State.QUEUED or (wanted.coalesces_active and newest.state == State.RUNNING):
        return newest
    return None


def _live_on(resource: str, host: str) -> JobQuerySet:
    jobs = Job.objects.live().filter(resource=resource)
    return jobs if ":" in resource else jobs.on_host(host)


def _refuse_when_closed(wanted: operations.Operation, *, resource: str, host: str, by: Person | None) -> None:
    closing = [name for name in operations.names() if operations.get(name).final and name != wanted.name]
    job = _live_on(resource, host).filter(operation__in=closing).first() if closing else None
    if job is not None:
        title = operations.get(job.operation).title
        may_see = by is not None and permissions.can_see(by, job)
        raise Refused(
            _("“%(title)s” is in progress. Wait until it has finished.") % {"title": title},
            cure=Cure(label=_("Open job"), url=job.get_absolute_url()) if may_see else None,
        )


def _refuse_when_flooding(by: Person | None) -> None:
    if by is not None and Job.objects.queued().filter(user_id=by.pk).count() >= settings.LEFT4ME_JOBS_WAITING_PER_USER:
        raise Refused(
            _("You have too many queued jobs. Wait until some have finished, or cancel some."),
            cure=Cure(label=_("Show queued jobs"), url=f"{reverse('jobs:index')}?state={State.QUEUED}"),
        )


def _lock(job: Job, wanted: operations.Operation) -> None:
    names: dict[str, bool] = {}
    for lock in wanted.locks(job):
        name = lock_name(lock, job.host)
        names[name] = names.get(name, False) or lock.exclusive
    JobLock.objects.bulk_create(
        JobLock(job=job, resource=name, exclusive=exclusive) for name, exclusive in names.items()
    )


def _supersede(job: Job, wanted: operations.Operation, *, now: datetime) -> None:
    if not wanted.supersedes:
        return
    for older in _live_on(job.resource, job.host).filter(pk__lt=job.pk).order_by("-pk"):
        if wanted.supersedes_operation(older.operation):
            stopped = transitions.stop(older, why=f"Superseded by job {job.pk}: {wanted.name}.", now=now)
            if stopped is not None:
                logs.event(job.pk, f"Supersedes job {older.pk}: {older.operation}.", now=now)
