"""Statements that run often, whose SQL is built once.

Django builds the SQL of a queryset each time it runs, which takes several times as long as a database needs to read
or change one row. Here a statement is written as a queryset too, with `Given` in the place of each value that differs
from run to run, so the names of tables and columns stay Django's:

    _of_user = select(lambda: Job.objects.filter(user_id=Given("user")).values_list("pk"))
    _of_user.rows(user=7)

An UPDATE can return the rows that it has changed, so that they need not be read before or after.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from django.db import connection
from django.db.models import Expression
from django.db.models.sql import DeleteQuery, Query, UpdateQuery

if TYPE_CHECKING:
    from django.db.models import Model, QuerySet

Row = TypeVar("Row")
Rows = Callable[[], "QuerySet[Any, Row]"]


class Given(Expression):
    """Stands for a value that is given when the statement runs."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        return "%s", (self,)


class Statement(Generic[Row]):
    """A SELECT, UPDATE or DELETE, made by `select`, `update` or `delete`. Each thread builds its SQL once."""

    def __init__(self, query: Callable[[], Query], returning: Sequence[str] | None = None) -> None:
        """`query` is called when the SQL is built. `returning` are the fields that an UPDATE returns; none: all."""
        self._query = query
        self._returning = returning
        # What converts values belongs to the thread's connection.
        self._of_thread = threading.local()

    def rows(self, **given: Any) -> list[Row]:
        """Run the statement; return what it has selected, or the rows that it has changed."""
        built = self._built()
        with connection.cursor() as cursor:
            cursor.execute(built.sql_with_rows, built.values(given))
            return [built.row(values) for values in cursor.fetchall()]

    def run(self, **given: Any) -> int:
        """Run an UPDATE or DELETE; return how many rows it has changed."""
        built = self._built()
        with connection.cursor() as cursor:
            cursor.execute(built.sql, built.values(given))
            return int(cursor.rowcount)

    def _built(self) -> _Built:
        built: _Built | None = getattr(self._of_thread, "built", None)
        if built is None:
            built = self._of_thread.built = _build(self._query(), self._returning)
        return built


@dataclass(frozen=True)
class _Built:
    sql: str
    sql_with_rows: str
    params: Sequence[Any]
    # For model instances: the model, the names of its fields, and what makes their values of those of the database.
    model: type[Model] | None
    names: Sequence[str]
    converters: Sequence[tuple[int, Callable[..., Any], Any]]

    def values(self, given: dict[str, Any]) -> list[Any]:
        return [_prepared(given[each.name]) if isinstance(each, Given) else each for each in self.params]

    def row(self, values: Sequence[Any]) -> Any:
        if self.model is None:
            return values
        converted = list(values)
        for index, convert, column in self.converters:
            converted[index] = convert(converted[index], column, connection)
        return self.model.from_db(connection.alias, self.names, converted)


def _build(query: Query, returning: Sequence[str] | None) -> _Built:
    compiler = query.get_compiler(connection=connection)
    sql, params = compiler.as_sql()
    meta = cast("type[Model]", query.model)._meta
    fields: Sequence[Any] = [field for field in meta.concrete_fields if not returning or field.name in returning]
    columns = [field.get_col(meta.db_table) for field in fields]
    is_change = isinstance(query, (UpdateQuery, DeleteQuery))
    names = ", ".join(connection.ops.quote_name(field.column) for field in fields)
    return _Built(
        sql=sql,
        sql_with_rows=f"{sql} RETURNING {names}" if is_change else sql,
        params=params,
        model=meta.model if query.default_cols and not returning else None,
        names=[field.attname for field in fields],
        converters=[
            (index, convert, column)
            for index, (converters, column) in compiler.get_converters(columns).items()
            for convert in converters
        ],
    )


def _prepared(value: Any) -> Any:
    if isinstance(value, datetime):
        return connection.ops.adapt_datetimefield_value(value)
    if isinstance(value, dict):
        return connection.ops.adapt_json_value(value, None)
    return value


def select(rows: Rows[Row]) -> Statement[Row]:
    """A SELECT of model instances, or of the values of `values_list`, which must need no conversion."""
    return Statement(lambda: rows().query)


def update(rows: Rows[Row], *, returning: Sequence[str] | None = None, **changes: Any) -> Statement[Any]:
    """An UPDATE, as `rows.update(**changes)`; its rows are model instances, or the values of `returning`."""

    def query() -> Query:
        made = cast("UpdateQuery", rows().query.chain(UpdateQuery))
        made.add_update_values(changes)
        return made

    return Statement(query, returning)


def delete(rows: Rows[Row]) -> Statement[Row]:
    """A DELETE of rows of a model to which no other model refers."""
    return Statement(lambda: rows().query.chain(DeleteQuery))
