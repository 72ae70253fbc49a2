"""Keeps what the visits of a player to a server add up to (`ServerPlayer`) equal to the visits.

Whoever adds, changes or deletes visits calls `refresh` or `refresh_after_deletion` in the same transaction. Both count
the visits of these players again, so that a row never inherits an error of the row that it replaces.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from django.db import connection, transaction
from django.db.models import (
    Aggregate,
    BigIntegerField,
    Count,
    Exists,
    F,
    Func,
    Max,
    Min,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Sum,
    TextField,
    Value,
)
from django.db.models.functions import Coalesce

from left4me.core.statements import KnownNumbers
from livestate.models import ONLINE, PlayerSession, ServerPlayer
from servers.models import Server

# A server and an account.
Pair = tuple[int, int]

_AT_ONCE = 2_000
_KEY = ("server_id", "steam_id_64")
_TOTALS = ("visits", "milliseconds", "first_seen_at", "last_seen_at", "online_since", "name", "names")


class Milliseconds(Func):
    """A moment as a number since 1970. It costs a tenth of a datetime, and can be added up."""

    output_field = BigIntegerField()

    def get_db_converters(self, connection: Any) -> list[Any]:
        return []  # Both databases return integers, and Django would convert each of them once more.

    def as_sqlite(self, compiler: Any, connection: Any, **options: Any) -> Any:
        return self.as_sql(
            compiler,
            connection,
            template="CAST(ROUND((julianday(%(expressions)s) - 2440587.5) * 86400000) AS INTEGER)",
        )

    def as_postgresql(self, compiler: Any, connection: Any, **options: Any) -> Any:
        return self.as_sql(compiler, connection, template="(EXTRACT(EPOCH FROM %(expressions)s) * 1000)::bigint")


class Lines(Aggregate):
    """The different texts of a group, one a line."""

    output_field = TextField()

    def as_sqlite(self, compiler: Any, connection: Any, **options: Any) -> Any:
        # With DISTINCT, SQLite separates by commas only. Those within a text are hidden behind a control character.
        joined = "GROUP_CONCAT(DISTINCT REPLACE(%(expressions)s, ',', char(1)))"
        template = f"REPLACE(REPLACE({joined}, ',', char(10)), char(1), ',')"
        return self.as_sql(compiler, connection, template=template, **options)

    def as_postgresql(self, compiler: Any, connection: Any, **options: Any) -> Any:
        template = "STRING_AGG(DISTINCT %(expressions)s, chr(10))"
        return self.as_sql(compiler, connection, template=template, **options)


class OfGroup(Subquery):
    """A subquery that depends on nothing but what rows are grouped by. Django would group by its result as well."""

    def get_group_by_cols(self) -> list[Any]:
        return []


def counted(visits: QuerySet[PlayerSession]) -> QuerySet[Any, Any]:
    """What the visits of each player to each server add up to, as tuples of the columns of `ServerPlayer`."""
    latest = PlayerSession.objects.filter(server=OuterRef("server_id"), steam_id_64=OuterRef("steam_id_64"))
    latest = latest.order_by("-joined_at", "-pk")
    groups = visits.order_by().values(*_KEY)
    groups = groups.annotate(
        visits=Count("pk"),
        # An open visit counts for nothing, since the subtraction from NULL is NULL.
        milliseconds=Coalesce(Sum(Milliseconds("left_at") - Milliseconds("joined_at")), 0),
        first_seen_at=Min("joined_at"),
        last_seen_at=Max(Coalesce("left_at", Value(ONLINE))),
        online_since=Max("joined_at", filter=Q(left_at=None)),
        name=OfGroup(latest.values("name_at_join")[:1]),
        names=Lines("name_at_join"),
    )
    rows: QuerySet[Any, Any] = groups.values_list(*_KEY, *_TOTALS)
    return rows


def refresh(pairs: Collection[Pair]) -> None:
    """Count again the visits of these players to these servers. To be called in a transaction."""
    for some in _in_parts(pairs):
        if connection.features.has_select_for_update:
            _lock(some)
        write(_of(some, PlayerSession.objects.all()))


def refresh_after_deletion(pairs: Collection[Pair]) -> None:
    """Like `refresh`, and remove the rows of those who have no visit any more."""
    for some in _in_parts(pairs):
        present = _lock(some)
        left = set(_of(some, PlayerSession.objects.all()).order_by().values_list(*_KEY).distinct())
        ServerPlayer.objects.filter(pk__in=[key for pair, key in present.items() if pair not in left]).delete()
        if left:
            write(_of(left, PlayerSession.objects.all()))


def _lock(pairs: Collection[Pair]) -> dict[Pair, int]:
    """The keys of the rows of these players, which are locked until the end of the transaction.

    Two transactions that change visits of one player then count one after the other, and the second counts what the
    first has changed. Rows that are missing are of players without an earlier visit.
    """
    rows = _of(pairs, ServerPlayer.objects.all()).select_for_update().order_by("steam_id_64", "server_id")
    return {(server, account): key for server, account, key in rows.values_list(*_KEY, "pk")}


@transaction.atomic
def catch_up(host_id: int) -> None:
    """Count what the worker of a host recorded with a release that knew no totals, after the web was upgraded."""
    visits = PlayerSession.objects.filter(server__host=host_id)
    rows = ServerPlayer.objects.filter(server__host=host_id)
    counted_row = ServerPlayer.objects.filter(server=OuterRef("server"), steam_id_64=OuterRef("steam_id_64"))
    open_visit = PlayerSession.objects.open().filter(server=OuterRef("server"), steam_id_64=OuterRef("steam_id_64"))
    left_last = ServerPlayer.objects.filter(server=OuterRef("pk"), last_seen_at__lt=ONLINE).order_by("-last_seen_at")
    servers = Server.objects.filter(host=host_id).annotate(newest=Subquery(left_last.values("last_seen_at")[:1]))
    newest = servers.aggregate(latest=Max("newest"))["latest"]
    ended = visits.filter(left_at__gt=newest) if newest else visits.exclude(left_at=None)
    missed = (
        visits.open().filter(~Exists(counted_row.filter(online_since=OuterRef("joined_at")))),
        ended,
        rows.filter(~Exists(open_visit), last_seen_at=ONLINE),
    )
    refresh({pair for found in missed for pair in found.values_list(*_KEY)})


def write(visits: QuerySet[PlayerSession]) -> None:
    """Write the row of each player of these visits, which have to be all that these players made to these servers."""
    quote = connection.ops.quote_name
    table, columns = quote(ServerPlayer._meta.db_table), ", ".join(map(quote, (*_KEY, *_TOTALS)))
    changes = ", ".join(f"{quote(name)} = excluded.{quote(name)}" for name in _TOTALS)
    select, values = counted(visits).query.sql_with_params()
    with connection.cursor() as cursor:
        # Names of the model and a statement of Django only; all values are parameters.
        cursor.execute(
            f"INSERT INTO {table} ({columns}) {select}"
            f" ON CONFLICT ({', '.join(map(quote, _KEY))}) DO UPDATE SET {changes}",
            values,
        )


def differences() -> Iterator[str]:
    """What the rows say otherwise than the visits, for tests and benches: nothing, if all is well."""
    expected = {row[:2]: _comparable(row) for row in counted(PlayerSession.objects.all())}
    present = {row[:2]: _comparable(row) for row in ServerPlayer.objects.values_list(*_KEY, *_TOTALS)}
    for pair in sorted(expected.keys() | present.keys()):
        if expected.get(pair) != present.get(pair):
            yield f"server {pair[0]}, player {pair[1]}: {present.get(pair)} instead of {expected.get(pair)}"


def _comparable(row: tuple[Any, ...]) -> tuple[Any, ...]:
    # The order of the names is of no account.
    return (*row[2:-1], frozenset(row[-1].split("\n")))


def _of(pairs: Collection[Pair], rows: QuerySet[Any]) -> QuerySet[Any]:
    """The rows of these players on these servers, found through an index of players.

    The difference of both numbers leaves out nearly all other servers of the players. Those few that have the same
    are counted again for nothing.
    """
    accounts = {account for _server, account in pairs}
    differences = {account - server for server, account in pairs}
    rows = rows.alias(difference=F("steam_id_64") - F("server_id"))
    return rows.filter(steam_id_64__in=KnownNumbers(accounts), difference__in=KnownNumbers(differences))


def _in_parts(pairs: Collection[Pair]) -> Iterator[list[Pair]]:
    ordered = sorted(set(pairs))
    for start in range(0, len(ordered), _AT_ONCE):
        yield ordered[start : start + _AT_ONCE]
