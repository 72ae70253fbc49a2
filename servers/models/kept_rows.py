"""The rows that a deleted server takes along, so that a restore brings them back under their old primary keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.core import serializers
from django.db import models

from servers.models.servers import Server

Rows = Callable[[Server], Iterable[models.Model]]

_rows: list[Rows] = []


def register(*rows: Rows) -> None:
    """Keep what each of these functions returns for a server, in this order: rows after those they refer to."""
    _rows.extend(rows)


def dump(server: Server) -> str:
    """The rows that belong to the server, as text; call it before its row is deleted."""
    text: str = serializers.serialize("json", [row for rows in _rows for row in rows(server)])
    return text


def load(text: str) -> None:
    """Store the rows again, as they would be now if they had not been deleted.

    Columns that a newer version no longer has are left out. What has been deleted meanwhile has its usual effect on
    the rows that refer to it.
    """
    for kept in serializers.deserialize("json", text, ignorenonexistent=True):
        if _without_what_is_gone(kept.object):
            kept.save()


def _without_what_is_gone(row: Any) -> bool:
    """Clear what refers to deleted rows; returns whether the row would have outlived them."""
    for field in row._meta.concrete_fields:
        if not isinstance(field, models.ForeignKey) or (value := getattr(row, field.attname)) is None:
            continue
        if field.related_model._base_manager.filter(pk=value).exists():
            continue
        if field.remote_field.on_delete is not models.SET_NULL:
            return False
        setattr(row, field.attname, None)
    return True
