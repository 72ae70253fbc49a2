"""Copying every row from one database to another, of the same or another kind, and comparing the two.

The target has the same migrations applied. Nothing else may use either database meanwhile.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from django.apps import apps
from django.db import DatabaseError, connections, models, transaction
from django.db.models.fields import AutoField

from left4me.core.env import database_from_url

SOURCE = "source"
TARGET = "default"
_ROWS_AT_ONCE = 1000


class CopyFault(Exception):
    """The databases differ, or a row cannot be copied; the message names the table."""


def connect_source(url: str) -> None:
    """Make the database at `url` known as SOURCE. Raises env.Misconfigured."""
    handler = connections
    configured = handler.configure_settings({TARGET: handler.settings[TARGET], SOURCE: database_from_url(url)})
    handler.settings[SOURCE] = configured[SOURCE]


def tables() -> list[type[models.Model]]:
    """Every table of the application, those between two models included."""
    found = apps.get_models(include_auto_created=True)
    return [model for model in found if model._meta.managed and not model._meta.proxy]


def copy(*, say: Callable[[str], None]) -> int:
    """Replace the content of TARGET by that of SOURCE, all or nothing, and compare them; returns the number of rows.

    Raises CopyFault.
    """
    _refuse_other_migrations()
    rows = 0
    with transaction.atomic(using=TARGET):
        # Migrations have written rows to the target as well.
        for model in reversed(tables()):
            model._base_manager.using(TARGET)._raw_delete(TARGET)
        for model in tables():
            rows += _copy_table(model, say)
            _copy_next_key(model)
        for model in tables():
            _compare(model)
    return rows


def _copy_table(model: type[models.Model], say: Callable[[str], None]) -> int:
    fields = _fields(model)
    manager = model._base_manager.using(TARGET)
    most = connections[TARGET].ops.bulk_batch_size(fields, range(_ROWS_AT_ONCE))
    found = model._base_manager.using(SOURCE).order_by("pk").iterator(_ROWS_AT_ONCE)
    copied = 0
    while rows := list(islice(found, most)):
        try:
            # `raw` stores the values as they are: no field sets itself to the present time.
            manager._insert(rows, fields=fields, using=TARGET, raw=True)  # type: ignore[attr-defined]
        except (DatabaseError, ValueError) as error:
            first, last = rows[0].pk, rows[-1].pk
            raise CopyFault(f"{model._meta.db_table}, rows {first} to {last}: {error}") from error
        copied += len(rows)
    if copied:
        say(f"{model._meta.db_table}: {copied}")
    return copied


def _copy_next_key(model: type[models.Model]) -> None:
    """Let the target go on where the source would: a key is never given twice, not even that of a deleted row."""
    key = model._meta.pk
    if not isinstance(key, AutoField):
        return
    table, column = model._meta.db_table, key.column or ""
    last = _last_key(table, column)
    if not last:
        return
    with connections[TARGET].cursor() as cursor:
        if connections[TARGET].vendor == "postgresql":
            cursor.execute("SELECT setval(pg_get_serial_sequence(%s, %s), %s)", [f'"{table}"', column, last])
        else:
            cursor.execute("DELETE FROM sqlite_sequence WHERE name = %s", [table])
            cursor.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (%s, %s)", [table, last])


def _last_key(table: str, column: str) -> int:
    with connections[SOURCE].cursor() as cursor:
        if connections[SOURCE].vendor == "postgresql":
            cursor.execute("SELECT pg_sequence_last_value(pg_get_serial_sequence(%s, %s))", [f'"{table}"', column])
        else:
            cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = %s", [table])
        row = cursor.fetchone()
    return row[0] or 0 if row else 0


def _compare(model: type[models.Model]) -> None:
    here, there = (_fingerprint(model, alias) for alias in (TARGET, SOURCE))
    if here != there:
        raise CopyFault(
            f"{model._meta.db_table} differs after the copy: {there[0]} rows were read, {here[0]} were written."
        )


def _fingerprint(model: type[models.Model], alias: str) -> tuple[int, int]:
    """The number of rows and the sum of their hashes, which does not depend on their order."""
    names = [field.attname for field in _fields(model)]
    count = total = 0
    for row in model._base_manager.using(alias).values_list(*names).iterator(_ROWS_AT_ONCE):
        digest = hashlib.sha256("\0".join(_plain(value) for value in row).encode()).digest()
        count, total = count + 1, (total + int.from_bytes(digest)) % 2**256
    return count, total


def _plain(value: Any) -> str:
    if isinstance(value, memoryview | bytes):
        return bytes(value).hex()
    if isinstance(value, dict | list):
        # PostgreSQL sorts the keys of JSON.
        return json.dumps(value, sort_keys=True)
    return repr(value)


def _fields(model: type[models.Model]) -> list[models.Field[Any, Any]]:
    return [field for field in model._meta.local_concrete_fields if not field.generated]


def _refuse_other_migrations() -> None:
    here, there = (set(_migrations(alias)) for alias in (TARGET, SOURCE))
    if here != there:
        names = ", ".join(sorted(here ^ there)[:3])
        raise CopyFault(f"The databases have different migrations: {names}. Run `manage.py migrate` on both.")


def _migrations(alias: str) -> Iterator[str]:
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT app, name FROM django_migrations")
        for app, name in cursor.fetchall():
            yield f"{app}.{name}"
