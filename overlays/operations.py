"""What the job engine can do with overlays."""

from __future__ import annotations

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from left4me.jobs import registry
from overlays import builders
from overlays.files import extraction
from overlays.models import Overlay
from overlays.workshop_items import cache_cleanup, refresh


@registry.operation("build", title=_("Build"), idempotent=True)
def build(run: registry.Run) -> None:
    """Make an overlay's directory match its rows."""
    overlay = _overlay(run)
    changed = builders.build(run, overlay)
    run.log("The overlay has new content." if changed else "Nothing changed.", stream="event")


@registry.operation("unpack", title=_("Unpack"), idempotent=True)
def unpack(run: registry.Run) -> None:
    """Unpack an uploaded archive into its overlay, then look at what is there now."""
    overlay = _overlay(run)
    try:
        extraction.unpack(run, overlay)
    finally:
        builders.build(run, overlay)


def _overlay(run: registry.Run) -> Overlay:
    overlay = Overlay.objects.filter(pk=run.resource_id).first()
    if overlay is None:
        raise registry.Failed("This overlay is gone.")
    return overlay


@registry.operation("workshop_refresh", title=_("Refresh workshop items"), idempotent=True, coalesces_active=True)
def workshop_refresh(run: registry.Run) -> None:
    """Ask Steam about every item in use, follow collections, and build the overlays whose items changed."""
    refresh.refresh_all(run, now=timezone.now())


@registry.operation("workshop_tidy", title=_("Tidy the workshop cache"), idempotent=True)
def workshop_tidy(run: registry.Run) -> None:
    """Delete the files and rows of items that no overlay holds: all (`"older_than_days": 0`), or old ones."""
    cache_cleanup.tidy(run, now=timezone.now())
