"""The size of the database: rows and bytes of every table, measured every few hours and kept in Redis."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, cast

import redis
from celery import shared_task
from django.db import OperationalError, connection

from left4me.core.redis import keys
from left4me.core.redis.client import client

log = logging.getLogger(__name__)

EVERY: Final = timedelta(hours=6)
_KEPT: Final = timedelta(days=2)

# Each with its indexes.
_BYTES = {
    # A module that SQLite has where it was compiled with it, as Debian's is.
    "sqlite": "SELECT part.tbl_name, SUM(dbstat.pgsize) FROM dbstat JOIN sqlite_master AS part"
    " ON part.name = dbstat.name WHERE dbstat.aggregate = TRUE GROUP BY part.tbl_name",
    "postgresql": "SELECT relname, pg_total_relation_size(oid) FROM pg_class"
    " WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace",
}


@dataclass(frozen=True)
class TableSize:
    """`size` is in bytes; None where the database does not tell."""

    name: str
    rows: int
    size: int | None


@shared_task(name="left4me.measure_database", ignore_result=True)
def measure_when_due() -> None:
    """Measure the tables if that was not done for some hours: every row is counted."""
    try:
        stored = client().get(keys.TABLE_SIZES)
        if stored is None or abs(time.time() - json.loads(cast("bytes", stored))["at"]) > EVERY.total_seconds():
            tables = [[table.name, table.rows, table.size] for table in measure()]
            client().set(keys.TABLE_SIZES, json.dumps({"at": time.time(), "tables": tables}), ex=_KEPT)
    except redis.RedisError as error:
        log.warning("The size of the database could not be kept: %s", error)


def measure() -> list[TableSize]:
    """The tables, the largest first."""
    quote = connection.ops.quote_name
    names = connection.introspection.table_names()
    # Names of tables come from the database itself.
    counts = " UNION ALL ".join(f"SELECT '{name}', COUNT(*) FROM {quote(name)}" for name in names)  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(counts)
        rows = dict(cursor.fetchall())
        try:
            cursor.execute(_BYTES[connection.vendor])
            sizes = {name: int(size) for name, size in cursor.fetchall()}
        except OperationalError:
            sizes = {}
    tables = [TableSize(name, number, sizes.get(name)) for name, number in rows.items()]
    return sorted(tables, key=lambda table: (-(table.size or 0), -table.rows, table.name))


def last() -> list[TableSize]:
    """The tables as they were measured last, the largest first; empty before that. Raises redis.RedisError."""
    stored = client().get(keys.TABLE_SIZES)
    return [TableSize(*table) for table in json.loads(cast("bytes", stored))["tables"]] if stored else []
