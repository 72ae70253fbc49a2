"""Rows that others change at the same time.

Saving one that its model's rules may refuse: the same words whether the rule was seen first or another writer was
faster. And holding one that another may have deleted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from django.core.exceptions import NON_FIELD_ERRORS, ObjectDoesNotExist, ValidationError
from django.db import IntegrityError, models, transaction

Row = TypeVar("Row", bound=models.Model)


class Gone(Exception):
    """Somebody else deleted the row between this request's first look at it and its turn. Any view may raise it."""


def still_there(rows: models.QuerySet[Row], row: Row) -> Row:
    """`row` as it is now, by `rows`, which may hold it (`select_for_update`). Raises Gone."""
    try:
        return rows.get(pk=row.pk)
    except ObjectDoesNotExist:
        raise Gone from None


def save_clean(row: models.Model, *, places: Mapping[str, str] | None = None) -> None:
    """Validate and save `row`; raises ValidationError.

    `places` says at which field a constraint's message belongs, by the constraint's `violation_error_code`.
    """
    clean(row, places=places)
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError:
        # Another writer took the name or the port between the check and the save: now the check sees it.
        clean(row, places=places)
        raise


def clean(row: models.Model, *, places: Mapping[str, str] | None = None) -> None:
    """Raise ValidationError for all that is wrong with `row`, by field."""
    try:
        row.full_clean()
    except ValidationError as fault:
        raise ValidationError(_placed(fault, places or {})) from None


def _placed(fault: ValidationError, places: Mapping[str, str]) -> dict[str, list[ValidationError]]:
    placed: dict[str, list[ValidationError]] = {}
    for field, errors in fault.error_dict.items():
        for error in errors:
            target = places.get(str(error.code), field) if field == NON_FIELD_ERRORS else field
            placed.setdefault(target, []).append(error)
    return placed
