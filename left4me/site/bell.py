"""The bell: what finished or failed while a user was away, and what needs their attention since they last looked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_POST, require_safe

from accounts.models import User
from accounts.permissions import signed_in
from left4me.alerts.attention import Severity, Subject
from left4me.alerts.models import BellMark
from left4me.core.web.request import is_fragment
from left4me.jobs import resources
from left4me.jobs.models import Job, JobQuerySet
from left4me.jobs.resources import Label
from servers import overview

MOST_JOBS = 10
MOST_SUBJECTS = 10
# Jobs that succeed within this time are over before anybody leaves the page.
QUICK = timedelta(seconds=10)
# How far back a user sees who opens the bell for the first time.
FIRST_LOOK = timedelta(days=1)

_MOST_KEYS = 2000


@dataclass(frozen=True, kw_only=True)
class News:
    """The content of the bell, with the parts that are new."""

    subjects: list[Subject]  # those with news first, at most MOST_SUBJECTS
    jobs: list[Job]
    labels: Mapping[str, Label]
    new_subjects: set[str]
    new_jobs: set[int]
    unread: int
    keys: list[str]
    at: datetime


def of(user: User, *, now: datetime) -> News:
    """The number of queries does not depend on the number of servers and jobs."""
    mark = BellMark.objects.filter(user=user).first() or BellMark(seen_at=now - FIRST_LOOK, reasons=[])
    # What can only be better is no news.
    subjects = [each for each in overview.needing_attention(user, now=now) if each.severity != Severity.NOTE]
    seen = set(mark.reasons)
    keys = {key: each.key for each in subjects for key in _keys(each)}
    new_subjects = {subject for key, subject in keys.items() if key not in seen}
    ended = _ended(user)
    new = ended.filter(finished_at__gt=mark.seen_at)
    jobs = list(ended.select_related("user").order_by("-finished_at")[:MOST_JOBS])
    return News(
        subjects=sorted(subjects, key=lambda each: each.key not in new_subjects)[:MOST_SUBJECTS],
        jobs=jobs,
        labels=resources.labels(job.resource for job in jobs),
        new_subjects=new_subjects,
        new_jobs={job.pk for job in jobs if job.finished_at and job.finished_at > mark.seen_at},
        unread=len(new_subjects) + new.count(),
        keys=list(keys)[:_MOST_KEYS],
        at=now,
    )


def mark_seen(user: User, *, until: datetime, reasons: list[str]) -> None:
    """Store what the user has seen: jobs that ended before `until`, and these reasons."""
    BellMark.objects.update_or_create(user=user, defaults={"seen_at": until, "reasons": reasons[:_MOST_KEYS]})


@require_safe
def bell(request: HttpRequest) -> HttpResponse:
    """The page of the news; htmx gets the content of the menu, with the number for its button."""
    context = {"news": of(signed_in(request), now=timezone.now())}
    return render(request, "bell.html#menu" if is_fragment(request) else "bell.html", context)


@require_POST
def seen(request: HttpRequest) -> HttpResponse:
    """Mark what the bell showed as seen. The form names it, so that what came later stays new."""
    now = timezone.now()
    try:
        until = parse_datetime(request.POST.get("until", "")) or now
    except ValueError:
        until = now
    if timezone.is_naive(until) or until > now:
        until = now
    mark_seen(signed_in(request), until=until, reasons=request.POST.get("reasons", "").split())
    return render(request, "bell.html#count", {"unread": 0}) if is_fragment(request) else redirect("bell")


def _ended(user: User) -> JobQuerySet:
    is_worth_telling = Q(state=Job.State.FAILED) | Q(finished_at__gt=F("started_at") + QUICK)
    return Job.objects.asked_by(user).filter(is_worth_telling, state__in=[Job.State.FAILED, Job.State.SUCCEEDED])


def _keys(subject: Subject) -> list[str]:
    return [f"{subject.key}:{reason.kind}" for reason in subject.reasons if reason.severity != Severity.NOTE]
