"""Registers with the job engine who may see and operate jobs on overlays, and how overlays are labelled there."""

from __future__ import annotations

from collections.abc import Sequence

from left4me.core.web.request import Person
from left4me.jobs import resources
from left4me.jobs.resources import Label
from overlays import permissions
from overlays.models import Overlay


def _can_see(user: Person, number: str) -> bool:
    overlay = Overlay.objects.filter(pk=number).first()
    return overlay is not None and permissions.can_see_overlay(user, overlay)


def _can_operate(user: Person, number: str) -> bool:
    overlay = Overlay.objects.filter(pk=number).first()
    return overlay is not None and permissions.can_edit_overlay(user, overlay)


def _labels(numbers: Sequence[str]) -> dict[str, Label]:
    overlays = Overlay.objects.filter(pk__in=numbers)
    return {str(overlay.pk): Label(overlay.name, overlay.get_absolute_url()) for overlay in overlays}


def _owners(number: str) -> list[int]:
    return list(Overlay.objects.filter(pk=number, owner__isnull=False).values_list("owner_id", flat=True))


resources.register("overlay", can_see=_can_see, can_operate=_can_operate, labels=_labels, owners=_owners)
