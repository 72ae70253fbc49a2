"""Rows of bench/growth: many at a time, by one statement whose columns are SQL over `i`, which counts from 0."""

from __future__ import annotations

from typing import Any

from django.db import connection, models
from django.utils import timezone

SERVERS = 10
DAYS = 30
FIRST_ACCOUNT = 76561197960265729
_DEFAULT = object()


class Rows:
    """Makes the rows of an installation of size `factor`. The first rows of servers and users are known to it."""

    def __init__(self, factor: int) -> None:
        self.factor = factor
        self.now = timezone.now()
        self.servers = SERVERS * factor
        self.users = 10 * factor
        self.accounts = 2_000 * factor

    # --- the statement ---------------------------------------------------------------------------------------------

    def insert(self, model: type[models.Model], count: int, **given: Any) -> None:
        """Insert `count * factor` rows; a text is SQL over `i`, anything else a value."""
        names, expressions, values = [], [], []
        for field in model._meta.concrete_fields:
            if field.primary_key and field.name not in given and isinstance(field, models.AutoField):
                continue
            names.append(connection.ops.quote_name(field.column))
            wanted = given.pop(field.name, _DEFAULT)
            if isinstance(wanted, str):
                expressions.append(wanted.replace("%", "%%"))
            else:
                value = field.get_default() if wanted is _DEFAULT else wanted
                expressions.append("%s")
                values.append(field.get_db_prep_save(value, connection))
        assert not given, given
        into = f"INSERT INTO {connection.ops.quote_name(model._meta.db_table)} ({', '.join(names)})"
        numbers = "WITH RECURSIVE numbers(i) AS (SELECT CAST(0 AS bigint) UNION ALL SELECT i + 1 FROM numbers"
        numbers += f" WHERE i + 1 < {count * self.factor})"
        with connection.cursor() as cursor:
            # All of it comes from this file and from the names of fields.
            cursor.execute(f"{into} {numbers} SELECT {', '.join(expressions)} FROM numbers", values)  # noqa: S608

    def at(self, seconds_ago: str) -> str:
        """A moment before the present, as SQL."""
        moment = f"({self.now.timestamp():.3f} - ({seconds_ago}))"
        if connection.vendor == "sqlite":
            # With microseconds, and never with a whole second, as Django would write it.
            return f"strftime('%Y-%m-%d %H:%M:%f001', {moment}, 'unixepoch')"
        return f"to_timestamp({moment})"

    def age(self, count: int, days: int = DAYS) -> str:
        """The age in seconds of the `i`-th of `count` rows for size 1, the oldest first."""
        return f"{days * 86_400}.0 * ({count * self.factor} - i) / {count * self.factor}"

    @property
    def server(self) -> str:
        """A server: every tenth row is of the first one."""
        others = f"1 + (i * 7919 + i / 10) % {self.servers - 1}"
        return f"{self.first_server} + CASE WHEN i % 10 = 0 THEN 0 ELSE {others} END"

    @property
    def user(self) -> str:
        return f"{self.first_user} + CASE WHEN i % 10 = 0 THEN 0 ELSE i % {self.users} END"

    @property
    def player(self) -> str:
        return f"{FIRST_ACCOUNT} + (i * 7919) % {self.accounts}"
