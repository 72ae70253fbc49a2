"""Saving, locking and deleting rows that may be changed or deleted concurrently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from django.contrib.auth import get_user_model
from django.core.exceptions import NON_FIELD_ERRORS, ObjectDoesNotExist, ValidationError
from django.db import IntegrityError, connection, models, transaction

from left4me.core import names

Row = TypeVar("Row", bound=models.Model)

_INSERTED_AT_ONCE = 500
# Fields whose values every database takes as they are.
_PLAIN = (models.BooleanField, models.CharField, models.ForeignKey, models.IntegerField)


class Gone(Exception):
    """The row was deleted since this request first read it. Any view may raise it."""


def still_there(rows: models.QuerySet[Row], row: Row) -> Row:
    """`row` as it is now, read through `rows`, which may lock it (`select_for_update`). Raises Gone."""
    try:
        return rows.get(pk=row.pk)
    except ObjectDoesNotExist:
        raise Gone from None


def take_turns(user_id: int) -> None:
    """Make requests that add rows of this user wait for each other, until the end of the transaction.

    A limit on the number of a user's rows needs it: on PostgreSQL, two that count at the same moment both find room.
    """
    get_user_model()._default_manager.select_for_update(no_key=True).filter(pk=user_id).first()


def save_clean(row: models.Model, *, places: Mapping[str, str] | None = None) -> None:
    """Validate and save `row`; raises ValidationError.

    `places` maps a constraint's `violation_error_code` to the field that shows its message.
    """
    clean(row, places=places)
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError:
        # Another writer took the name or the port between the check and the save: validated again, the same message
        # results as if it had been there first.
        clean(row, places=places)
        raise


def clean(row: models.Model, *, places: Mapping[str, str] | None = None) -> None:
    """Validate `row`; raises ValidationError with all faults, by field."""
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


def free_name(rows: models.QuerySet[Any], wanted: str) -> str:
    """`wanted`, with a number appended if one of `rows` has this name, in any letter case."""
    taken = {name.lower() for name in rows.values_list("name", flat=True)}
    name, number = wanted[: names.LONGEST], 2
    while name.lower() in taken:
        suffix = f" ({number})"
        name, number = wanted[: names.LONGEST - len(suffix)] + suffix, number + 1
    return name


def insert(model: type[models.Model], names: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[int]:
    """Insert thousands of rows, given as values of the named fields; return their keys in the same order.

    `bulk_create` makes an instance of each row and asks each field four times to prepare its value: several times the
    work of the database.
    """
    by_name = {field.name: field for field in model._meta.concrete_fields}
    fields = [by_name[name] for name in names]
    prepare = [None if isinstance(field, _PLAIN) else field.get_db_prep_save for field in fields]
    table = connection.ops.quote_name(model._meta.db_table)
    columns = ", ".join(map(_column, fields))
    row_form = f"({', '.join(['%s'] * len(fields))})"
    keys: list[int] = []
    with connection.cursor() as cursor:
        for start in range(0, len(rows), _INSERTED_AT_ONCE):
            some = rows[start : start + _INSERTED_AT_ONCE]
            values = [
                value if prepared is None else prepared(value, connection)
                for row in some
                for prepared, value in zip(prepare, row, strict=True)
            ]
            forms = ", ".join([row_form] * len(some))
            # Names of tables and columns only; all values are parameters.
            insert = f"INSERT INTO {table} ({columns}) VALUES {forms} RETURNING {_column(model._meta.pk)}"  # noqa: S608
            cursor.execute(insert, values)
            keys += [key for (key,) in cursor.fetchall()]
    return keys


def add(row: models.Model) -> None:
    """Insert `row`, which is new, and set its key: `save` without signals, in a third of its time."""
    fields = [field for field in row._meta.concrete_fields if not field.primary_key]
    values = [getattr(row, str(field.attname)) for field in fields]
    (row.pk,) = insert(type(row), [field.name for field in fields], [values])
    row._state.adding, row._state.db = False, connection.alias


def _column(field: models.Field[Any, Any]) -> str:
    return connection.ops.quote_name(str(field.column))


def delete_in_steps(rows: models.QuerySet[Any], *, at_once: int = 1_000) -> int:
    """Delete `rows`, a number of them at a time; return how many.

    Neither the lock of a database with one writer nor the memory is held for all of them together.
    """
    deleted = 0
    while keys := list(rows.order_by("pk").values_list("pk", flat=True)[:at_once]):
        deleted += rows.model._default_manager.filter(pk__in=keys).delete()[0]
    return deleted


def storable(text: str, length: int) -> str:
    """The first `length` characters of `text` without NUL, which PostgreSQL refuses in text."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")[:length]
