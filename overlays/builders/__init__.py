"""Builders: each makes the directory of one kind of overlay match its rows."""

from __future__ import annotations

from left4me.jobs import registry
from overlays.builders import files, script, workshop
from overlays.models import Overlay

_BUILDERS = {
    Overlay.Kind.WORKSHOP: workshop.build,
    Overlay.Kind.FILES: files.build,
    Overlay.Kind.SCRIPT: script.build,
}


def build(run: registry.Run, overlay: Overlay) -> bool:
    """Build an overlay of any kind; returns whether its content changed. Raises Failed and Cancelled."""
    return _BUILDERS[Overlay.Kind(overlay.kind)](run, overlay)
