"""Who may see and operate a job: its requester, admins, and users whom the app of its resource allows."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from django.http import Http404

from left4me.core.web.sse import signals
from left4me.jobs import resources

if TYPE_CHECKING:
    from left4me.core.web.request import Person
    from left4me.jobs.models import Job


def can_see(user: Person, job: Job) -> bool:
    """Return whether the user may read the job and its log."""
    return user.is_active and (user.is_admin or job.user_id == user.pk or resources.may_see(user, job.resource))


def check_can_see(user: Person, job: Job) -> None:
    """Raise Http404 for other users, who must not learn that the job exists."""
    if not can_see(user, job):
        raise Http404


def audience(ids: Collection[int]) -> dict[int, Collection[int] | None]:
    """Who may see these jobs besides admins, for signals."""
    from left4me.jobs.models import Job

    rows = list(Job.objects.filter(pk__in=ids).values_list("pk", "user_id", "resource"))
    seen_by = signals.audience_of(resource for _, _, resource in rows)
    found: dict[int, Collection[int] | None] = {}
    for pk, user_id, resource in rows:
        users = seen_by.get(resource, ())
        found[pk] = None if users is None else {*users, *((user_id,) if user_id else ())}
    return found


def can_operate(user: Person, job: Job) -> bool:
    """Return whether the user may cancel and retry the job."""
    return user.is_active and (user.is_admin or job.user_id == user.pk or resources.may_operate(user, job.resource))


def check_can_operate(user: Person, job: Job) -> None:
    """Raise Http404 for users who may not cancel or retry the job."""
    if not can_operate(user, job):
        raise Http404
