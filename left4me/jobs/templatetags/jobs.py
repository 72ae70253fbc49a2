"""How jobs are shown, here and on other apps' pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from left4me.jobs.models import Job
from left4me.jobs.resources import Label

register = template.Library()


@register.simple_tag
def resource_label(job: Job, labels: Mapping[str, Label] | Label | None = None) -> SafeString:
    """The job's resource by the name people know it by, linked; else as it is."""
    label = labels.get(job.resource) if isinstance(labels, Mapping) else labels
    # A page that names no labels passes the empty string of a missing variable.
    if not label:
        return format_html('<span class="mono">{}</span>', job.resource)
    return format_html('<a href="{}">{}</a>', label.url, label.name)


@register.inclusion_tag("jobs/_progress.html")
def job_progress(job: Job) -> dict[str, Any]:
    """A bar that says how far the job is."""
    return {"job": job, "progress": job.progress or {}}
