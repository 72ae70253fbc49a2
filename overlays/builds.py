"""Builds of overlays: requesting one as a job, and the builder of each kind."""

from __future__ import annotations

import contextlib

from django.conf import settings

from accounts.models import User
from left4me.jobs import actions as jobs
from left4me.jobs.context import JobContext
from left4me.jobs.models import Job
from overlays.builders import files, script, workshop
from overlays.models import Overlay

_BUILDERS = {
    Overlay.Kind.WORKSHOP: workshop.build,
    Overlay.Kind.FILES: files.build,
    Overlay.Kind.SCRIPT: script.build,
}


def request(*, overlay: Overlay, by: User | None) -> Job:
    """Request a build of an overlay of any kind; a queued build is reused. Raises jobs.Refused."""
    return jobs.request(operation="build", resource=overlay.resource, by=by, host=settings.LEFT4ME_HOST)


def request_inspections() -> None:
    """Request the inspection of overlays that were built before campaigns were recorded, once after an upgrade."""
    for overlay in Overlay.objects.filter(is_inspected=False, built_at__isnull=False).order_by("pk"):
        is_workshop = overlay.kind == Overlay.Kind.WORKSHOP
        with contextlib.suppress(jobs.Refused):
            jobs.request(
                operation="build" if is_workshop else "inspect",
                resource=overlay.resource,
                by=None,
                host=settings.LEFT4ME_HOST,
            )


def build(run: JobContext, overlay: Overlay) -> bool:
    """Make the overlay's directory match its rows; returns whether its content changed. Raises Failed and Cancelled.

    A builder may be interrupted at any point; the next build completes the work.
    """
    return _BUILDERS[Overlay.Kind(overlay.kind)](run, overlay)
