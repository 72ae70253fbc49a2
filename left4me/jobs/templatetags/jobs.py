"""Template tags that show jobs, on pages of every app."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from left4me.jobs import phases
from left4me.jobs.models import Job, JobLog
from left4me.jobs.resources import Label

register = template.Library()


@register.simple_tag
def resource_label(job: Job, labels: Mapping[str, Label] | Label | None = None) -> SafeString:
    """The label of the job's resource as a link; the plain resource if it has none."""
    label = labels.get(job.resource) if isinstance(labels, Mapping) else labels
    # A page without labels passes the empty string of a missing variable.
    if not label:
        return format_html('<span class="mono">{}</span>', job.resource)
    return format_html('<a href="{}">{}</a>', label.url, label.name)


@register.inclusion_tag("jobs/_progress.html")
def job_progress(job: Job) -> dict[str, Any]:
    """The job's progress bar."""
    return {"job": job, "progress": job.progress or {}, "words": json.dumps(phases.words())}


@register.simple_tag
def log_lines(lines: Iterable[JobLog]) -> SafeString:
    """The lines of a log. Not by a template: there may be five hundred, and a loop in a template takes far longer."""
    return format_html_join(
        "",
        '<div class="log-line" data-seq="{}"{}>{}</div>',
        (
            (line.seq, "" if line.stream == "stdout" else format_html(' data-stream="{}"', line.stream), line.line)
            for line in lines
        ),
    )


@register.filter
def phase(reported: str) -> str:
    return phases.phase(reported)


@register.filter
def unit(reported: str) -> str:
    return phases.unit(reported)
