"""Alerts for failed jobs."""

from __future__ import annotations

from datetime import datetime

from django.contrib.auth import get_user_model
from django.utils.translation import gettext as _

from left4me.alerts import incidents
from left4me.alerts.events import Event
from left4me.alerts.incidents import ProblemReport
from left4me.jobs import permissions, resources
from left4me.jobs.models import Job
from left4me.jobs.states import State

_LONGEST_TEXT = 500


def job_has_ended(job: Job, *, now: datetime) -> None:
    """Report or close the incident of this operation on this resource, in the transaction that ends the job.

    An operation that fails repeatedly is one incident.
    """
    if job.state == State.SUCCEEDED:
        incidents.close([_key(job)], now=now)
    elif job.state == State.FAILED:
        incidents.report(_failure(job), now=now)


def complete(job: Job, *, now: datetime) -> None:
    """Alert the owners of what a failed job was about, where the host of the job does not see it.

    Called on the web's own host.
    """
    if job.state == State.FAILED:
        incidents.complete(_failure(job), now=now)


def _failure(job: Job) -> ProblemReport:
    label = resources.labels([job.resource]).get(job.resource)
    resource_name = label.name if label is not None else job.resource
    # The owners of its resource are alerted, and who requested the job, unless they may not see it any more.
    owners = resources.owners(job.resource)
    # Workers of other hosts run this too, and their database role may read these columns.
    asked = get_user_model()._default_manager.only("username", "is_admin", "is_active").filter(pk=job.user_id).first()
    if asked is not None and permissions.can_see(asked, job):
        owners = owners | {asked.pk}
    return ProblemReport(
        event=Event.JOB_FAILED,
        key=_key(job),
        subject=job.resource,
        title=_("“%(operation)s” failed: %(what)s") % {"operation": job.title, "what": resource_name},
        text=job.error[:_LONGEST_TEXT],
        path=job.get_absolute_url(),
        owners=owners,
    )


def _key(job: Job) -> str:
    where = "" if ":" in job.resource else f"@{job.host}"
    return f"job:{job.operation}:{job.resource}{where}"
