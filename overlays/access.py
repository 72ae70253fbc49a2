"""Tells the job engine who may see jobs on overlays, and who may cancel or retry them."""

from __future__ import annotations

from left4me.jobs import registry
from left4me.jobs.registry import Person
from overlays import permissions
from overlays.models import Overlay


def _sees(user: Person, number: str) -> bool:
    overlay = Overlay.objects.filter(pk=number).first()
    return overlay is not None and permissions.can_see_overlay(user, overlay)


def _operates(user: Person, number: str) -> bool:
    overlay = Overlay.objects.filter(pk=number).first()
    return overlay is not None and permissions.can_edit_overlay(user, overlay)


registry.visibility("overlay", _sees, operates=_operates)
