"""Statements that run often, whose SQL is built once.

Django builds the SQL of a queryset each time it runs, which takes several times as long as a database needs to read
or change one row. Here a statement is written as a queryset too, with `Given` in the place of each value that differs
from run to run, so the names of tables and columns stay Django's:

    _of_user = select(lambda: Job.objects.filter(user_id=Given("user")).select_related("user"))
    _of_user.rows(user=7)

A SELECT returns what its queryset would, with related rows and prefetches. `Numbers` and `Texts` stand for lists of
any length, and `select_for` is for a queryset that depends on who asks.

An UPDATE can return the rows that it has changed, so that they need not be read before or after.
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from django.db import connection, connections
from django.db.models import Expression, QuerySet
from django.db.models.sql import DeleteQuery, Query, UpdateQuery

from left4me.core.web.request import is_admin

if TYPE_CHECKING:
    from django.db.models import Model
    from django.db.models.sql.compiler import SQLCompiler

    from left4me.core.web.request import Visitor

Row = TypeVar("Row")
Rows = Callable[[], "QuerySet[Any, Row]"]


class Given(Expression):
    """Stands for a value that is given when the statement runs."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        return "%s", (self,)

    def prepared(self, value: Any, connection: Any) -> Any:
        """The parameter for this value."""
        if isinstance(value, datetime):
            return connection.ops.adapt_datetimefield_value(value)
        if isinstance(value, dict):
            return connection.ops.adapt_json_value(value, None)
        return value


class Numbers(Given):
    """Stands for a list of numbers, at the right of `__in`. It is one parameter, however many there are."""

    type_in_postgresql = "bigint"

    def as_sqlite(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        return "(SELECT value FROM json_each(%s))", (self,)

    def as_postgresql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        return f"(SELECT unnest(%s::{self.type_in_postgresql}[]))", (self,)

    def prepared(self, value: Any, connection: Any) -> Any:
        return json.dumps(list(value)) if connection.vendor == "sqlite" else list(value)


class KnownNumbers(Numbers):
    """A list of numbers that is known when the queryset is made, as one parameter of an ordinary query."""

    def __init__(self, numbers: Collection[int]) -> None:
        super().__init__("numbers")
        self.numbers = numbers

    def as_sqlite(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        return super().as_sqlite(compiler, connection)[0], (self.prepared(self.numbers, connection),)

    def as_postgresql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        return super().as_postgresql(compiler, connection)[0], (self.prepared(self.numbers, connection),)


class Texts(Numbers):
    """Stands for a list of texts, at the right of `__in`."""

    type_in_postgresql = "text"


class Statement(Generic[Row]):
    """An UPDATE or DELETE, made by `update` or `delete`. Each thread builds its SQL once."""

    def __init__(self, query: Callable[[], Query], returning: Sequence[str] | None = None) -> None:
        """`query` is called when the SQL is built. `returning` are the fields that an UPDATE returns; none: all."""
        self._query = query
        self._returning = returning
        # What converts values belongs to the thread's connection.
        self._of_thread = threading.local()

    def rows(self, **given: Any) -> list[Row]:
        """Run the statement; return the rows that it has changed."""
        built = self._built()
        with connection.cursor() as cursor:
            cursor.execute(built.sql_with_rows, _values(built.params, given))
            return [built.row(values) for values in cursor.fetchall()]

    def run(self, **given: Any) -> int:
        """Run an UPDATE or DELETE; return how many rows it has changed."""
        built = self._built()
        with connection.cursor() as cursor:
            cursor.execute(built.sql, _values(built.params, given))
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
    names = ", ".join(connection.ops.quote_name(field.column) for field in fields)
    return _Built(
        sql=sql,
        sql_with_rows=f"{sql} RETURNING {names}",
        params=params,
        model=None if returning else meta.model,
        names=[field.attname for field in fields],
        converters=[
            (index, convert, column)
            for index, (converters, column) in compiler.get_converters(columns).items()
            for convert in converters
        ],
    )


def _values(params: Sequence[Any], given: dict[str, Any]) -> list[Any]:
    return [each.prepared(given[each.name], connection) if isinstance(each, Given) else each for each in params]


class Selection(Generic[Row]):
    """A SELECT, made by `select`. Each thread builds its SQL once."""

    def __init__(self, rows: Rows[Row]) -> None:
        self._rows = rows
        self._of_thread = threading.local()

    def rows(self, **given: Any) -> list[Row]:
        """Run the statement; return what the queryset would if it had these values."""
        built: _Prepared | None = getattr(self._of_thread, "built", None)
        if built is None or built.compiler.connection is not connections[built.queryset.db]:
            built = self._of_thread.built = _Prepared(self._rows())
        return list(built.with_values(given))

    def first(self, **given: Any) -> Row | None:
        """The first of the rows, for statements that find one or few."""
        return next(iter(self.rows(**given)), None)


class _Prepared:
    """A queryset whose SQL is built, and what has been found out for its rows."""

    def __init__(self, queryset: QuerySet[Any, Any]) -> None:
        self.queryset = queryset
        self.compiler: SQLCompiler = queryset.query.get_compiler(using=queryset.db)
        self._sql, self._params = self.compiler.as_sql()
        selected = [expression for expression, _sql, _alias in self.compiler.select[: self.compiler.col_count]]
        converters = self.compiler.get_converters(selected)
        self.compiler.get_converters = lambda expressions: converters

    def with_values(self, given: dict[str, Any]) -> QuerySet[Any, Any]:
        """The queryset with these values. It can be evaluated, but not refined."""
        compiler = copy.copy(self.compiler)
        values = tuple(_values(self._params, given))
        compiler.as_sql = lambda *args, **options: (self._sql, values)  # type: ignore[method-assign]
        made: Any = QuerySet(self.queryset.model, cast("Any", _BuiltQuery(compiler)), self.queryset.db)
        for name in ("_iterable_class", "_fields", "_prefetch_related_lookups"):
            setattr(made, name, getattr(self.queryset, name))
        return cast("QuerySet[Any, Any]", made)


@dataclass(frozen=True)
class _BuiltQuery:
    """Stands in a queryset for its query, of which an evaluation wants the compiler only."""

    compiler: SQLCompiler

    def get_compiler(self, using: str) -> SQLCompiler:
        return self.compiler


@dataclass(frozen=True)
class _GivenVisitor:
    """Stands for whoever asks, in querysets that are built before somebody does."""

    is_admin: bool
    pk = Given("visitor")
    is_active = True


class SelectionFor(Generic[Row]):
    """A SELECT that depends on who asks, made by `select_for`: one statement for admins, one for all others."""

    def __init__(self, rows: Callable[[Any], QuerySet[Any, Row]]) -> None:
        self._of_others = select(lambda: rows(_GivenVisitor(is_admin=False)))
        self._of_admins = select(lambda: rows(_GivenVisitor(is_admin=True)))

    def rows(self, visitor: Visitor, **given: Any) -> list[Row]:
        """Run the statement; return what the queryset would for this visitor and these values."""
        selection = self._of_admins if is_admin(visitor) else self._of_others
        return selection.rows(visitor=visitor.pk, **given)

    def first(self, visitor: Visitor, **given: Any) -> Row | None:
        """The first of the rows, for statements that find one or few."""
        return next(iter(self.rows(visitor, **given)), None)


def select(rows: Rows[Row]) -> Selection[Row]:
    """A SELECT of what `rows` returns."""
    return Selection(rows)


def select_for(rows: Callable[[Any], QuerySet[Any, Row]]) -> SelectionFor[Row]:
    """A SELECT of what `rows` returns for a visitor, of whom it may use `pk` and `is_admin` only."""
    return SelectionFor(rows)


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
