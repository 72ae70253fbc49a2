"""Finds players of the servers that a user can see, by any of their names or by Steam ID."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import CharField, Exists, F, Max, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Cast
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from left4me.core import steam_ids
from left4me.core.web.ids import parse_id
from livestate import models
from livestate.models import PlayerNote, ServerPlayer, SteamProfile
from livestate.players import records
from livestate.players.records import Totals
from servers.models import Server

ONLINE, BANNED, NOTED = "online", "banned", "noted"
SHOWN = [("", _("All")), (ONLINE, _("Online")), (BANNED, _("Banned")), (NOTED, _("With notes"))]


@dataclass(frozen=True, slots=True)
class Found:
    """A row of the list. A player with notes whose visits are all deleted has no totals."""

    steam_id_64: int
    name: str
    avatar_url: str
    totals: Totals | None
    servers: Sequence[tuple[int, str]]
    is_banned: bool
    notes: int


@dataclass(frozen=True)
class Filter:
    """What the list of players shows; made from the query of its address."""

    q: str = ""
    show: str = ""
    server: int | None = None

    @classmethod
    def of(cls, query: Any) -> Filter:
        show = query.get("show", "")
        return cls(
            q=query.get("q", "").strip()[:200],
            show=show if show in dict(SHOWN) else "",
            server=parse_id(query.get("server", "")),
        )

    @property
    def leaves_out(self) -> bool:
        return bool(self.q or self.show or self.server)

    def accounts(self, user: User, *, now: datetime) -> Accounts:
        """The Steam IDs of the players, those seen last first."""
        servers, rows = Server.objects.visible_to(user), records.seen(user)
        if self.server is not None:
            servers, rows = servers.filter(pk=self.server), rows.filter(server=self.server)
        if self.q:
            rows = rows.filter(matching(self.q))
        if self.show == ONLINE:
            rows = rows.filter(last_seen_at=models.ONLINE)
        if self.show == BANNED:
            target = Cast(OuterRef("steam_id_64"), CharField())
            rows = rows.filter(Exists(records.banned(user, now=now).filter(target=target)))
        if self.show == NOTED or (steam_ids.parse(self.q) and not rows.exists()):
            return Accounts(self._notes(user, rows), "created_at")
        return Accounts(rows, "last_seen_at", servers=None if self.q or self.show else servers)

    def _notes(self, user: User, rows: QuerySet[ServerPlayer]) -> QuerySet[PlayerNote]:
        """The notes about these players; the visits of some may be deleted since."""
        notes = PlayerNote.objects.visible_to(user)
        if self.server is not None:
            return notes.filter(steam_id_64__in=rows.values("steam_id_64"))
        if self.q:
            account = steam_ids.parse(self.q)
            seen = Q(steam_id_64__in=rows.values("steam_id_64"))
            return notes.filter(seen | (Q(steam_id_64=account) if account else Q(text__icontains=self.q)))
        return notes


class Accounts:
    """The different Steam IDs of rows by the latest of a time in them: a sequence of which parts are read.

    With `servers`, the rows are all players of these servers. A part that ends at the 50th player then reads at most
    50 rows of each server, however many there are. Otherwise all rows have to be read, and this is done once.
    """

    def __init__(self, rows: QuerySet[Any], time: str, *, servers: QuerySet[Server] | None = None) -> None:
        self._rows, self._time, self._servers = rows.order_by(), time, servers
        self._first: list[int] = []

    def count(self) -> int:
        return self._rows.values("steam_id_64").distinct().count()

    def count_up_to(self, most: int) -> int:
        """Their number, or `most` if there are more."""
        if self._servers is not None:
            return self._rows.values("steam_id_64").distinct()[:most].count()
        self._first = self._read(self._rows, slice(0, most))
        return len(self._first)

    def __getitem__(self, part: slice) -> list[int]:
        if not part.stop or part.stop <= len(self._first):
            return self._first[part]
        rows = self._rows
        if self._servers is not None and (since := self._needed_since(self._servers, part.stop)):
            # The servers are named again: admins see the rows of all, and the index begins with the server.
            rows = rows.filter(server__in=self._servers.values("pk"), last_seen_at__gte=since)
        return self._read(rows, part)

    def _read(self, rows: QuerySet[Any], part: slice) -> list[int]:
        latest = rows.values("steam_id_64").annotate(latest=Max(self._time)).order_by("-latest", "steam_id_64")
        return list(latest.values_list("steam_id_64", flat=True)[part])

    @staticmethod
    def _needed_since(servers: QuerySet[Server], number: int) -> datetime | None:
        """A time since which one of the servers alone had that many players; None if none had so many."""
        earlier = ServerPlayer.objects.filter(server=OuterRef("pk")).order_by("-last_seen_at")
        nth = Subquery(earlier.values("last_seen_at")[number - 1 : number])
        since: datetime | None = servers.annotate(nth=nth).aggregate(since=Max("nth"))["since"]
        return since


def matching(typed: str) -> Q:
    """Rows of the account whose Steam ID was typed or pasted, else of players with this part of a name."""
    if account := steam_ids.parse(typed):
        return Q(steam_id_64=account)
    named = SteamProfile.objects.filter(persona_name__icontains=typed).values("pk")
    return Q(names__icontains=typed) | Q(steam_id_64__in=named)


def rows(user: User, accounts: Sequence[int], *, now: datetime) -> list[Found]:
    """The rows of these accounts, in their order."""
    here = records.seen(user).filter(steam_id_64__in=accounts).annotate(title=F("server__name"))
    seen = list(here.defer("names").order_by("title"))
    totals = records.totals(seen, now=now)
    profiles = SteamProfile.objects.in_bulk(accounts)
    # The name of the latest visit, unless Steam knows a newer one.
    latest = sorted(seen, key=lambda row: (row.last_seen_at, row.online_since or row.last_seen_at))
    names = {row.steam_id_64: row.name for row in latest}
    names |= {account: profile.persona_name for account, profile in profiles.items() if profile.persona_name}
    targets = records.banned(user, now=now).filter(target__in=[str(account) for account in accounts])
    banned = set(targets.values_list("target", flat=True))
    notes = records.noted(user, accounts)
    return [
        Found(
            steam_id_64=account,
            name=names.get(account) or str(account),
            avatar_url=profiles[account].avatar_url if account in profiles else "",
            totals=totals.get(account),
            servers=[(row.server_id, row.title) for row in seen if row.steam_id_64 == account],
            is_banned=str(account) in banned,
            notes=notes.get(account, 0),
        )
        for account in accounts
    ]
