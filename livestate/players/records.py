"""What a user may see of a player: visits, names, the players met, notes and bans."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, F, Max, Min, Q, QuerySet, Sum, Value
from django.db.models.functions import Coalesce

from accounts.models import User
from left4me.core import steam_ids
from livestate.bans import effective
from livestate.bans.models import Ban, BanQuerySet
from livestate.live import ShownPlayer, with_profiles
from livestate.models import PlayerNote, PlayerNoteQuerySet, PlayerSession, SteamProfile
from servers.models import Server

MOST_COMPANIONS = 10
# Visits that are compared with those of others; a regular's whole year would be a slow page.
_COMPARED = 200


@dataclass(frozen=True)
class Player:
    """A Steam account, with the rows about it that one user may see, the latest first."""

    steam_id_64: int
    visits: QuerySet[PlayerSession]
    notes: PlayerNoteQuerySet
    bans: BanQuerySet
    latest: PlayerSession | None
    profile: SteamProfile | None

    @property
    def name(self) -> str:
        """The current Steam name, else the last name on a server, or that of a ban."""
        known = [self.profile.persona_name if self.profile else "", self.latest.name_at_join if self.latest else ""]
        return next(filter(None, [*known, *(ban.name for ban in self.bans)]), str(self.steam_id_64))

    @property
    def avatar_url(self) -> str:
        return self.profile.avatar_url if self.profile else ""

    @property
    def steam_url(self) -> str:
        return steam_ids.profile_url(self.steam_id_64)

    @property
    def is_known(self) -> bool:
        """Whether there is anything to see."""
        return self.latest is not None or self.notes.exists() or self.bans.exists()


@dataclass(frozen=True, slots=True)
class Totals:
    """All visits of a player together."""

    visits: int
    time: timedelta
    first: datetime
    last: datetime
    is_online: bool


@dataclass(frozen=True, slots=True)
class Companion:
    """A player who was on the same servers at the same time."""

    player: ShownPlayer
    time: timedelta


def of(user: User, steam_id_64: int) -> Player:
    visits = sessions(user).filter(steam_id_64=steam_id_64).select_related("server").order_by("-joined_at", "-pk")
    return Player(
        steam_id_64=steam_id_64,
        visits=visits,
        notes=PlayerNote.objects.visible_to(user).filter(steam_id_64=steam_id_64).select_related("owner", "author"),
        bans=Ban.objects.visible_to(user).for_pages().filter(target=str(steam_id_64)),
        latest=visits.first(),
        profile=SteamProfile.objects.filter(pk=steam_id_64).first(),
    )


def sessions(user: User) -> QuerySet[PlayerSession]:
    """All visits to the servers that the user can see."""
    return PlayerSession.objects.filter(server__in=Server.objects.visible_to(user).values("pk"))


def banned(user: User, *, now: datetime) -> BanQuerySet:
    """The active bans that the user may see and that apply to a server which the user can see."""
    lists = effective.lists_of(Server.objects.visible_to(user))
    applied = {pk for each in lists.values() for pk in each.ids}
    return Ban.objects.visible_to(user).active(now).filter(ban_list__in=applied)


def noted(user: User, accounts: Collection[int]) -> dict[int, int]:
    """The number of notes that the user may see about each of these accounts that has one."""
    rows = PlayerNote.objects.visible_to(user).filter(steam_id_64__in=accounts).order_by().values("steam_id_64")
    return dict(rows.annotate(count=Count("pk")).values_list("steam_id_64", "count"))


def totals(visits: QuerySet[PlayerSession], *, now: datetime) -> dict[int, Totals]:
    """The totals of each account among the visits."""
    end = Coalesce("left_at", Value(now))
    rows = visits.order_by().values("steam_id_64")
    rows = rows.annotate(
        visits=Count("pk"),
        time=Sum(end - F("joined_at")),
        first=Min("joined_at"),
        last=Max(end),
        open=Count("pk", filter=Q(left_at=None)),
    )
    return {
        row["steam_id_64"]: Totals(row["visits"], row["time"], row["first"], row["last"], bool(row["open"]))
        for row in rows
    }


def names(visits: QuerySet[PlayerSession]) -> list[Any]:
    """The names of the visits, the latest first, each with its first and last use."""
    rows = visits.order_by().exclude(name_at_join="").values("name_at_join")
    return list(rows.annotate(first=Min("joined_at"), last=Max("joined_at")).order_by("-last"))


def companions(visits: Iterable[PlayerSession], *, now: datetime) -> list[Companion]:
    """The players who spent the most time on the same servers at the same time, from the latest of the visits."""
    times: dict[int, timedelta] = {}
    latest: dict[int, PlayerSession] = {}
    for visit in list(visits)[:_COMPARED]:
        end = visit.left_at or now
        others = PlayerSession.objects.filter(server=visit.server_id, joined_at__lt=end)
        others = others.filter(Q(left_at=None) | Q(left_at__gt=visit.joined_at))
        for other in others.exclude(steam_id_64=visit.steam_id_64):
            together = min(end, other.left_at or now) - max(visit.joined_at, other.joined_at)
            times[other.steam_id_64] = times.get(other.steam_id_64, timedelta()) + together
            latest.setdefault(other.steam_id_64, other)
    longest = sorted(times, key=lambda account: (-times[account], account))[:MOST_COMPANIONS]
    shown = with_profiles([latest[account] for account in longest])
    return [Companion(player, times[account]) for account, player in zip(longest, shown, strict=True)]
