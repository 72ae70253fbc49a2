"""What of jobs somebody wants to be told of: that one failed."""

from __future__ import annotations

from datetime import datetime

from django.utils.translation import gettext as _

from left4me.alerts import incidents
from left4me.alerts.events import Event
from left4me.alerts.incidents import ProblemReport
from left4me.jobs import resources
from left4me.jobs.models import Job
from left4me.jobs.states import State

_LONGEST_TEXT = 500


def job_has_ended(job: Job, *, now: datetime) -> None:
    """Call in the transaction that ends it. The same operation failing again and again is one incident."""
    if job.state == State.SUCCEEDED:
        incidents.close([_key(job)], now=now)
    elif job.state == State.FAILED:
        incidents.report(_failure(job), now=now)


def _failure(job: Job) -> ProblemReport:
    label = resources.labels([job.resource]).get(job.resource)
    what = label.name if label is not None else job.resource
    # Those who asked for it, and those whose thing it was to be done to.
    owners = resources.owners(job.resource) | ({job.user_id} if job.user_id is not None else set())
    return ProblemReport(
        event=Event.JOB_FAILED,
        key=_key(job),
        subject=job.resource,
        title=_("“%(operation)s” failed: %(what)s") % {"operation": job.title, "what": what},
        text=job.error[:_LONGEST_TEXT],
        path=job.get_absolute_url(),
        owners=owners,
    )


def _key(job: Job) -> str:
    where = "" if ":" in job.resource else f"@{job.host}"
    return f"job:{job.operation}:{job.resource}{where}"
