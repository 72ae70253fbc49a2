"""Jobs in the API: list, read, cancel, retry."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Field, Query, Router, Schema, Status

from left4me.audit import record
from left4me.core.web.api import Window, listed, require_scope
from left4me.core.web.request import current_user
from left4me.jobs import actions, permissions, queue_reasons
from left4me.jobs.forms import Filter
from left4me.jobs.models import Job, JobLog

router = Router(tags=["jobs"])


class ProgressOut(Schema):
    phase: str
    done: int
    total: int | None = None
    unit: str = ""


class JobOut(Schema):
    """A job: one request of an operation on a resource."""

    id: int
    operation: str
    resource: str
    host: str
    state: Literal["queued", "running", "cancelling", "succeeded", "failed", "cancelled"]
    exit_code: int | None
    error: str
    attempt: int
    progress: ProgressOut | None
    asked_by: str | None
    waiting_for: str = Field(
        "", description="Why it waits: for its host, for another job, or for its turn in the queue"
    )
    last_seq: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @staticmethod
    def resolve_asked_by(job: Job) -> str | None:
        return job.user.get_username() if job.user is not None else None

    @staticmethod
    def resolve_waiting_for(job: Job) -> str:
        if job.waiting_for is None:
            queue_reasons.explain([job])
        return str(job.waiting_for)


class JobsOut(Schema):
    items: list[JobOut]
    count: int


class LineOut(Schema):
    seq: int
    stream: Literal["stdout", "stderr", "event"]
    line: str
    created_at: datetime


class LinesOut(Schema):
    items: list[LineOut]
    count: int


class Narrowed(Window):
    """Which jobs: one's own, or with `whose=all` everybody's for admins."""

    whose: Literal["mine", "all"] = "mine"
    state: Literal["", "live", "queued", "running", "cancelling", "succeeded", "failed", "cancelled"] = ""
    operation: str = Field("", max_length=64)
    resource: str = Field("", max_length=96)


class LineWindow(Schema):
    after: int = Field(0, ge=0, le=2**62)
    limit: int = Field(500, ge=1, le=5_000)


@router.get("/jobs", response=JobsOut, summary="Jobs, newest first")
def list_jobs(request: HttpRequest, window: Query[Narrowed]) -> dict[str, Any]:
    page = listed(Filter(window.dict(), user=current_user(request)).jobs(), window)
    queue_reasons.explain(page["items"])
    return page


@router.get("/jobs/{id:job_id}", response=JobOut, summary="One job")
def get_job(request: HttpRequest, job_id: int) -> Job:
    job = _job(job_id)
    permissions.check_can_see(current_user(request), job)
    return job


@router.get("/jobs/{id:job_id}/log", response=LinesOut, summary="Lines of a job's log after line number `after`")
def get_log(request: HttpRequest, job_id: int, window: Query[LineWindow]) -> dict[str, Any]:
    """`count` is the number of the newest line. To follow a running job, read `/jobs/{id}/stream`."""
    job = _job(job_id)
    permissions.check_can_see(current_user(request), job)
    lines = JobLog.objects.filter(job=job, seq__gt=window.after).order_by("seq")[: window.limit]
    return {"items": list(lines), "count": job.last_seq}


@router.post("/jobs/{id:job_id}/cancel", response={202: JobOut}, summary="Cancel a queued or running job")
def cancel_job(request: HttpRequest, job_id: int) -> Status[Job]:
    require_scope(request, "operate")
    job = _job(job_id)
    permissions.check_can_operate(current_user(request), job)
    job = actions.cancel(job=job, by=current_user(request))
    record.write(action="job.cancel", by=current_user(request), target=f"job:{job.pk}", request=request)
    return Status(202, job)


@router.post("/jobs/{id:job_id}/retry", response={202: JobOut}, summary="Retry a failed or cancelled job")
def retry_job(request: HttpRequest, job_id: int) -> Status[Job]:
    """Answers with the new job."""
    require_scope(request, "operate")
    job = _job(job_id)
    permissions.check_can_operate(current_user(request), job)
    again = actions.retry(job=job, by=current_user(request))
    record.write(
        action="job.retry",
        by=current_user(request),
        target=f"job:{job.pk}",
        request=request,
        job=again.pk,
    )
    return Status(202, again)


def _job(job_id: int) -> Job:
    return get_object_or_404(Job.objects.select_related("user"), pk=job_id)
