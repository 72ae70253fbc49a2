"""Pages: the list of jobs, one job with its live log, and its actions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from left4me.audit import record
from left4me.core.statements import Given, select
from left4me.core.web import notices
from left4me.core.web.pages import Paginator
from left4me.core.web.refusals import Cure
from left4me.core.web.request import Person, current_user
from left4me.jobs import actions, permissions, queue_reasons, resources
from left4me.jobs.forms import Filter
from left4me.jobs.models import Job, JobLog

_JOBS_ON_A_PAGE = 50
# Enough to see why a job failed, and quick to render. The whole log can be downloaded.
_LINES_ON_A_PAGE = 500
_LINES_READ_AT_ONCE = 5_000


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    chosen = Filter(
        request.GET if request.GET.get("whose") else {**request.GET.dict(), "whose": "mine"},
        user=current_user(request),
    )
    page = Paginator(chosen.jobs(), _JOBS_ON_A_PAGE).get_page(request.GET.get("page"))
    queue_reasons.explain(page, user=current_user(request))
    context = {
        "page": page,
        "filter": chosen,
        "labels": resources.labels(job.resource for job in page),
    }
    template = "jobs/index.html#rows" if _wants_part(request, "jobs") else "jobs/index.html"
    return render(request, template, context)


@require_safe
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    job = _job_or_404(pk)
    rights = permissions.of(current_user(request), job)
    if not rights.can_see:
        raise Http404
    queue_reasons.explain([job], user=current_user(request))
    context: dict[str, Any] = {
        "job": job,
        "label": rights.label,
        "can_operate": rights.can_operate,
        "cure": _cure(request, job),
    }
    if _wants_part(request, "job"):
        return render(request, "jobs/detail.html#facts", context)
    lines = _last_lines.rows(job=job.pk, after=job.last_seq - _LINES_ON_A_PAGE)
    context["lines"] = lines
    context["last_seq"] = lines[-1].seq if lines else 0
    context["left_out"] = max(0, job.last_seq - _LINES_ON_A_PAGE)
    return render(request, "jobs/detail.html", context)


@require_safe
def log(request: HttpRequest, pk: int) -> StreamingHttpResponse:
    """The whole log as a file."""
    job = _job(request, pk, permissions.check_can_see)
    response = StreamingHttpResponse(_log_as_text(job), content_type="text/plain; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="job-{job.pk}.log"'
    return response


@require_POST
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    job = _job(request, pk, permissions.check_can_operate)
    try:
        actions.cancel(job=job, by=current_user(request))
        record.write(action="job.cancel", by=current_user(request), target=f"job:{job.pk}", request=request)
    except actions.Refused as refused:
        notices.refuse(request, refused)
    return redirect(job)


@require_POST
def retry(request: HttpRequest, pk: int) -> HttpResponse:
    job = _job(request, pk, permissions.check_can_operate)
    try:
        again = actions.retry(job=job, by=current_user(request))
    except actions.Refused as refused:
        notices.refuse(request, refused)
        return redirect(job)
    record.write(action="job.retry", by=current_user(request), target=f"job:{job.pk}", request=request, job=again.pk)
    return redirect(again)


@require_POST
def diagnose(request: HttpRequest) -> HttpResponse:
    """Run the diagnostic operation on this host, to see whether its worker runs jobs."""
    user = current_user(request)
    if not user.is_admin:
        raise PermissionDenied(_("Only admins have access to this."))
    params = {"lines": 20, "interval": 0.2}
    return redirect(
        actions.request(
            operation="diagnostic", resource="diagnostic", by=user, host=settings.LEFT4ME_HOST, params=params
        )
    )


_one = select(lambda: Job.objects.filter(pk=Given("job")).select_related("user").order_by())
_last_lines = select(lambda: JobLog.objects.filter(job_id=Given("job"), seq__gt=Given("after")).order_by("seq"))


def _job_or_404(pk: int) -> Job:
    job = _one.first(job=pk)
    if job is None:
        raise Http404
    return job


def _job(request: HttpRequest, pk: int, check: Callable[[Person, Job], None]) -> Job:
    job = _job_or_404(pk)
    check(current_user(request), job)
    return job


def _cure(request: HttpRequest, job: Job) -> Cure | None:
    """What helps after a failure, unless it is the same as a retry, which has its own button."""
    if job.state != Job.State.FAILED:
        return None
    cure = resources.mend(current_user(request), job.resource)
    return cure if cure and cure.operation != job.operation else None


def _wants_part(request: HttpRequest, target: str) -> bool:
    return request.headers.get("HX-Request") == "true" and request.headers.get("HX-Target") == target


def _log_as_text(job: Job) -> Iterator[str]:
    # In chunks by number, not by one cursor: a slow download must not keep a database snapshot open.
    last = 0
    while lines := list(JobLog.objects.filter(job=job, seq__gt=last).order_by("seq")[:_LINES_READ_AT_ONCE]):
        last = lines[-1].seq
        yield "".join(f"{line.created_at:%Y-%m-%dT%H:%M:%S.%fZ} {line.stream:<6} {line.line}\n" for line in lines)
