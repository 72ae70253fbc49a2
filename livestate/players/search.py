"""Finds players of the servers that a user can see, by any of their names or by Steam ID."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import CharField, Exists, Max, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Cast, Coalesce
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from left4me.core import steam_ids
from left4me.core.web.ids import parse_id
from livestate.models import PlayerNote, SteamProfile
from livestate.players import records
from livestate.players.records import Totals

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

    def accounts(self, user: User, *, now: datetime) -> QuerySet[Any, int]:
        """The Steam IDs of the players, those seen last first."""
        visits = records.sessions(user)
        if self.server is not None:
            visits = visits.filter(server=self.server)
        if self.q:
            visits = visits.filter(matching(self.q))
        if self.show == ONLINE:
            visits = visits.filter(left_at=None)
        if self.show == BANNED:
            target = Cast(OuterRef("steam_id_64"), CharField())
            visits = visits.filter(Exists(records.banned(user, now=now).filter(target=target)))
        if self.show == NOTED or (not visits.exists() and steam_ids.parse(self.q)):
            return self._noted(user, visits)
        last = Max(Coalesce("left_at", Value(now)))
        return _grouped(visits.order_by().values("steam_id_64").annotate(last=last))

    def _noted(self, user: User, visits: QuerySet[Any]) -> QuerySet[Any, int]:
        """Those with notes, by the time of the latest; their visits may be deleted since."""
        notes = PlayerNote.objects.visible_to(user)
        if self.server is not None:
            notes = notes.filter(steam_id_64__in=visits.values("steam_id_64"))
        elif self.q:
            account = steam_ids.parse(self.q)
            seen = Q(steam_id_64__in=visits.values("steam_id_64"))
            notes = notes.filter(seen | (Q(steam_id_64=account) if account else Q(text__icontains=self.q)))
        return _grouped(notes.order_by().values("steam_id_64").annotate(last=Max("created_at")))


def matching(typed: str) -> Q:
    """Visits of the account whose Steam ID was typed or pasted, else of players with this part of a name."""
    if account := steam_ids.parse(typed):
        return Q(steam_id_64=account)
    named = SteamProfile.objects.filter(persona_name__icontains=typed).values("pk")
    return Q(name_at_join__icontains=typed) | Q(steam_id_64__in=named)


def rows(user: User, accounts: Sequence[int], *, now: datetime) -> list[Found]:
    """The rows of these accounts, in their order."""
    visits = records.sessions(user).filter(steam_id_64__in=accounts).order_by("joined_at")
    totals = records.totals(visits, now=now)
    profiles = SteamProfile.objects.in_bulk(accounts)
    names = dict(visits.values_list("steam_id_64", "name_at_join"))
    names |= {account: profile.persona_name for account, profile in profiles.items() if profile.persona_name}
    targets = records.banned(user, now=now).filter(target__in=[str(account) for account in accounts])
    banned = set(targets.values_list("target", flat=True))
    notes = records.noted(user, accounts)
    places = list(visits.order_by("server__name").values_list("steam_id_64", "server", "server__name").distinct())
    return [
        Found(
            steam_id_64=account,
            name=names.get(account) or str(account),
            avatar_url=profiles[account].avatar_url if account in profiles else "",
            totals=totals.get(account),
            servers=[(server, title) for player, server, title in places if player == account],
            is_banned=str(account) in banned,
            notes=notes.get(account, 0),
        )
        for account in accounts
    ]


def _grouped(rows: QuerySet[Any, Any]) -> QuerySet[Any, int]:
    return rows.order_by("-last", "steam_id_64").values_list("steam_id_64", flat=True)
