"""Saving and locking rows that may be changed or deleted concurrently.

A unique constraint gives the same ValidationError whether validation or the database detects the conflict.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from django.core.exceptions import NON_FIELD_ERRORS, ObjectDoesNotExist, ValidationError
from django.db import IntegrityError, models, transaction

Row = TypeVar("Row", bound=models.Model)


class Gone(Exception):
    """The row was deleted since the request read it. Any view may raise this; a middleware answers 404."""


def still_there(rows: models.QuerySet[Row], row: Row) -> Row:
    """Read `row` again through `rows`, which may lock it (`select_for_update`). Raises Gone."""
    try:
        return rows.get(pk=row.pk)
    except ObjectDoesNotExist:
        raise Gone from None


def save_clean(row: models.Model, *, places: Mapping[str, str] | None = None) -> None:
    """Validate and save `row`. Raises ValidationError.

    `places` maps the `violation_error_code` of a constraint to the field at which its message is shown.
    """
    clean(row, places=places)
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError:
        # A concurrent writer took the name or the port after validation: validating again reports it.
        clean(row, places=places)
        raise


def clean(row: models.Model, *, places: Mapping[str, str] | None = None) -> None:
    """Validate `row`. Raises ValidationError with all errors by field."""
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
