"""Who may see and touch a job: the one who asked, the admins, and those its resource's app names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import Http404

from left4me.jobs import registry

if TYPE_CHECKING:
    from left4me.core.web.request import Person
    from left4me.jobs.models import Job


def can_see(user: Person, job: Job) -> bool:
    return user.is_active and (user.is_admin or job.user_id == user.pk or registry.may_see(user, job.resource))


def check_can_see(user: Person, job: Job) -> None:
    """Raise Http404 for a stranger, who is not to learn that the job exists."""
    if not can_see(user, job):
        raise Http404


def can_operate(user: Person, job: Job) -> bool:
    return user.is_active and (user.is_admin or job.user_id == user.pk or registry.may_operate(user, job.resource))


def check_can_operate(user: Person, job: Job) -> None:
    """Raise Http404 for those who may not cancel or retry the job."""
    if not can_operate(user, job):
        raise Http404
