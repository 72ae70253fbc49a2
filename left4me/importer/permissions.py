"""Permissions on imports: they read directories of the machine, so they are for admins alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.shortcuts import get_object_or_404

from accounts.models import User
from accounts.permissions import check_can_administer
from left4me.core.web.ids import parse_ids
from left4me.importer.models import Import
from left4me.jobs.resources import Label


def import_to_see(user: User, pk: int) -> Import:
    """An import. Raises PermissionDenied for users who are no admins, and Http404."""
    check_can_administer(user)
    return get_object_or_404(Import.objects.select_related("owner", "user", "host", "job"), pk=pk)


def nobody_else(user: Any, number: str) -> bool:
    """Whether a user who is no admin may see the jobs of an import."""
    return False


def labels(numbers: Sequence[str]) -> Mapping[str, Label]:
    rows = Import.objects.filter(pk__in=parse_ids(numbers))
    return {str(row.pk): Label(row.path, row.get_absolute_url()) for row in rows}
