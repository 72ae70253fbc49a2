"""Who may see and operate a job: admins, and users whom the app of its resource allows.

Rights that were taken away must not live on in jobs. So who requested a job counts only where there is nothing else
to ask: its resource was deleted, as by the job itself, or belongs to a whole host, such as the game. Jobs on those are
cancelled and retried by admins only.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.http import Http404

from left4me.core.web.sse import signals
from left4me.jobs import operations, resources

if TYPE_CHECKING:
    from left4me.core.web.request import Person
    from left4me.jobs.models import Job
    from left4me.jobs.resources import Label


@dataclass(frozen=True)
class Rights:
    """What a user may do with one job, and the label of its resource."""

    label: Label | None
    can_see: bool
    can_operate: bool  # cancel and retry it


def of(user: Person, job: Job) -> Rights:
    """Return the user's rights on the job; its resource is looked up once for all of them."""
    standing = resources.standing(user, job.resource)
    found = standing or resources.GONE
    may = found.may_change if _needs_change(job.operation) else found.may_operate
    is_own = job.user_id == user.pk
    return Rights(
        label=found.label,
        can_see=user.is_active and (user.is_admin or found.may_see or (is_own and found.label is None)),
        can_operate=user.is_active
        and (user.is_admin or may or (is_own and standing is not None and found.label is None)),
    )


def can_see(user: Person, job: Job) -> bool:
    """Return whether the user may read the job and its log."""
    return of(user, job).can_see


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
        left = {user_id} if user_id else set()
        found[pk] = seen_by.get(resource, left)
    return found


def can_operate(user: Person, job: Job) -> bool:
    """Return whether the user may cancel and retry the job."""
    return of(user, job).can_operate


def _needs_change(operation: str) -> bool:
    try:
        return operations.get(operation).needs_change
    except operations.UnknownOperation:
        return True


def check_can_operate(user: Person, job: Job) -> None:
    """Raise Http404 for users who may not cancel or retry the job."""
    if not can_operate(user, job):
        raise Http404
