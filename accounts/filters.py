"""Saving, changing and deleting the filters that users keep for lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import SavedFilter, User
from accounts.models.filters import PARAMETERS, query_of
from left4me.audit import record
from left4me.core import rows
from left4me.core.statements import Given, select
from left4me.core.web.refusals import Refused

MOST = 30
_TARGETS = {"name_taken": "name"}


_of_list = select(lambda: SavedFilter.objects.filter(user_id=Given("user"), place=Given("place")))


def of(user: User, place: str) -> list[SavedFilter]:
    """The filters of a list, by name."""
    return _of_list.rows(user=user.pk, place=place)


def default_query(saved: Sequence[SavedFilter]) -> str:
    """The query with which the list of these filters opens; empty without a default filter."""
    return next((each.query for each in saved if each.is_default), "")


@transaction.atomic
def save(*, user: User, place: str, name: str, query: str, is_default: bool = False) -> SavedFilter:
    """Keep a filter under a name. Raises ValidationError by field, and Refused if the user has too many."""
    if place not in PARAMETERS:
        raise ValidationError({"place": _("There is no such list.")})
    rows.take_turns(user.pk)
    if SavedFilter.objects.filter(user=user).count() >= MOST:
        raise Refused(_("You already have %d filters, the most that one user can have. Delete one first.") % MOST)
    kept = query_of(place, query)
    if not kept:
        raise ValidationError({"query": _("Choose what to filter by first.")})
    row = SavedFilter(user=user, place=place, name=name.strip(), query=kept)
    return _save(row, is_default=is_default, by=user)


@transaction.atomic
def change(*, row: SavedFilter, by: User, name: str | None = None, is_default: bool | None = None) -> SavedFilter:
    """Rename a filter, or make it the default of its list or an ordinary one. Raises ValidationError."""
    row.name = row.name if name is None else name.strip()
    return _save(row, is_default=row.is_default if is_default is None else is_default, by=by)


@transaction.atomic
def delete(*, row: SavedFilter, by: User) -> dict[str, Any]:
    """Delete a filter; returns the arguments with which `save` brings it back."""
    kept = {name: getattr(row, name) for name in ("place", "name", "query", "is_default")}
    record.write(action="filter.delete", by=by, target=f"filter:{row.pk}", name=row.name)
    row.delete()
    return kept


def _save(row: SavedFilter, *, is_default: bool, by: User) -> SavedFilter:
    if not row.name:
        # Shown above the list, where no label says which field is meant.
        raise ValidationError({"name": _("Enter a name for the filter.")})
    if is_default:
        SavedFilter.objects.filter(user=row.user, place=row.place).exclude(pk=row.pk).update(is_default=False)
    row.is_default = is_default
    rows.save_clean(row, places=_TARGETS)
    record.write(action="filter.save", by=by, target=f"filter:{row.pk}", name=row.name, default=is_default)
    return row
