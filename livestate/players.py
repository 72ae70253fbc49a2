"""A player over time: names, the players met, and forgetting all of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Max, Min, Q, QuerySet

from left4me.audit import record
from livestate.bans.models import Ban, BanList
from livestate.live import ShownPlayer, with_profiles
from livestate.models import Order, PlayerSession, Snapshot, SteamProfile

MOST_COMPANIONS = 10
# Visits that are compared with those of others; a regular's whole year would be a slow page.
_COMPARED = 200


@dataclass(frozen=True, slots=True)
class Companion:
    """A player who was on the same servers at the same time."""

    player: ShownPlayer
    time: timedelta


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How many rows about a player were removed."""

    visits: int
    profiles: int
    orders: int
    bans: int


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


@transaction.atomic
def forget(steam_id_64: int, *, bans_too: bool = False) -> Forgotten:
    """Remove what is stored about a player. Bans stay, without the name, unless `bans_too`.

    A game that the player is on at this moment is polled again, and begins a new visit.
    """
    for snapshot in Snapshot.objects.filter(connecting__icontains=str(steam_id_64)):
        snapshot.connecting = [each for each in snapshot.connecting if each[1] != str(steam_id_64)]
        snapshot.save(update_fields=["connecting"])
    bans = Ban.objects.filter(target=str(steam_id_64))
    bans.update(name="")
    if bans_too:
        # Without a new version of their lists, games would not be told that these bans are gone.
        BanList.objects.filter(pk__in=bans.values("ban_list")).update(version=F("version") + 1)
    removed = Forgotten(
        visits=PlayerSession.objects.filter(steam_id_64=steam_id_64).delete()[0],
        profiles=SteamProfile.objects.filter(pk=steam_id_64).delete()[0],
        orders=Order.objects.filter(value=str(steam_id_64)).delete()[0],
        bans=bans.delete()[0] if bans_too else 0,
    )
    record.write(action="player.forget", by=None, target="player:forgotten", visits=removed.visits, bans=removed.bans)
    return removed
