"""What a user may see of a player: visits, names, the players met, notes and bans."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Max, Min, Q, QuerySet

from accounts.models import User
from left4me.core import steam_ids
from left4me.core.statements import Numbers, select_for
from left4me.core.web.request import is_admin
from livestate.bans import effective
from livestate.bans.models import Ban, BanQuerySet
from livestate.live import ShownPlayer, with_profiles
from livestate.models import PlayerNote, PlayerNoteQuerySet, PlayerSession, ServerPlayer, SteamProfile
from servers.models import Server

MOST_COMPANIONS = 10
# Visits that are compared with those of others; a regular's whole year would be a slow page.
_COMPARED = 200
# Others who came longer before a visit are not looked for: the index would have to be read from the first visit on.
_LONGEST_BEFORE = timedelta(days=1)


@dataclass(frozen=True)
class Player:
    """A Steam account, with the rows about it that one user may see, the latest first."""

    steam_id_64: int
    visits: QuerySet[PlayerSession]
    seen: QuerySet[ServerPlayer]
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

    def plus(self, other: Totals) -> Totals:
        return Totals(
            self.visits + other.visits,
            self.time + other.time,
            min(self.first, other.first),
            max(self.last, other.last),
            self.is_online or other.is_online,
        )


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
        seen=seen(user).filter(steam_id_64=steam_id_64),
        notes=PlayerNote.objects.visible_to(user).filter(steam_id_64=steam_id_64).select_related("owner", "author"),
        bans=Ban.objects.visible_to(user).for_pages().filter(target=str(steam_id_64)),
        latest=visits.first(),
        profile=SteamProfile.objects.filter(pk=steam_id_64).first(),
    )


def sessions(user: User) -> QuerySet[PlayerSession]:
    """All visits to the servers that the user can see."""
    return PlayerSession.objects.filter(server__in=Server.objects.visible_to(user).values("pk"))


def seen(user: User) -> QuerySet[ServerPlayer]:
    """What the visits of each player to each server that the user can see add up to."""
    if is_admin(user):
        # Of every server: without a condition, players are counted in the order of an index.
        return ServerPlayer.objects.all()
    return ServerPlayer.objects.filter(server__in=Server.objects.visible_to(user).values("pk"))


def banned(user: User, *, now: datetime) -> BanQuerySet:
    """The active bans that the user may see and that apply to a server which the user can see."""
    applied = effective.lists_of_any(Server.objects.visible_to(user))
    return Ban.objects.visible_to(user).active(now).filter(ban_list__in=applied.values("pk"))


_notes = select_for(
    lambda visitor: (
        PlayerNote.objects.visible_to(visitor)
        .filter(steam_id_64__in=Numbers("accounts"))
        .order_by()
        .values("steam_id_64")
        .annotate(count=Count("pk"))
        .values_list("steam_id_64", "count")
    )
)


def noted(user: User, accounts: Collection[int]) -> dict[int, int]:
    """The number of notes that the user may see about each of these accounts that has one."""
    return dict(_notes.rows(user, accounts=accounts) if accounts else ())


def totals(rows: Iterable[ServerPlayer], *, now: datetime) -> dict[int, Totals]:
    """The totals of each account over the servers of these rows."""
    found: dict[int, Totals] = {}
    for row in rows:
        time = timedelta(milliseconds=row.milliseconds) + (now - row.online_since if row.online_since else timedelta())
        last = now if row.online_since else row.last_seen_at
        here = Totals(row.visits, time, row.first_seen_at, last, row.online_since is not None)
        before = found.get(row.steam_id_64)
        found[row.steam_id_64] = before.plus(here) if before else here
    return found


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
        earliest = visit.joined_at - _LONGEST_BEFORE
        others = PlayerSession.objects.filter(server=visit.server_id, joined_at__gt=earliest, joined_at__lt=end)
        others = others.filter(Q(left_at=None) | Q(left_at__gt=visit.joined_at))
        for other in others.exclude(steam_id_64=visit.steam_id_64):
            together = min(end, other.left_at or now) - max(visit.joined_at, other.joined_at)
            times[other.steam_id_64] = times.get(other.steam_id_64, timedelta()) + together
            latest.setdefault(other.steam_id_64, other)
    longest = sorted(times, key=lambda account: (-times[account], account))[:MOST_COMPANIONS]
    shown = with_profiles([latest[account] for account in longest])
    return [Companion(player, times[account]) for account, player in zip(longest, shown, strict=True)]
