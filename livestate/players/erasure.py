"""Forgetting a player: what is stored about an account is counted, and removed when somebody asks for that."""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.db import transaction
from django.db.models import F, Q
from django.http import HttpRequest

from accounts.models import User
from left4me.audit import record
from left4me.core import steam_ids
from livestate import totals
from livestate.bans.models import Ban, BanList
from livestate.matches.models import Match, MatchPlayer
from livestate.models import Order, PlayerNote, PlayerSession, Snapshot, SteamProfile
from livestate.rotation.models import GameEvent


@dataclass(frozen=True, slots=True)
class Holdings:
    """How many rows there are, or were, about a player."""

    visits: int
    profiles: int
    notes: int
    orders: int
    bans: int
    votes: int
    matches: int


def holdings(steam_id_64: int) -> Holdings:
    return Holdings(
        visits=PlayerSession.objects.filter(steam_id_64=steam_id_64).count(),
        profiles=SteamProfile.objects.filter(pk=steam_id_64).count(),
        notes=PlayerNote.objects.filter(steam_id_64=steam_id_64).count(),
        orders=len(_orders(steam_id_64)),
        bans=Ban.objects.filter(target=str(steam_id_64)).count(),
        votes=len(_votes(steam_id_64)),
        matches=MatchPlayer.objects.filter(steam_id_64=steam_id_64).count(),
    )


@transaction.atomic
def forget(
    steam_id_64: int, *, by: User | None, bans_too: bool = False, request: HttpRequest | None = None
) -> Holdings:
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
    # Before the visits: they hold the names by which the game tells of votes.
    votes = GameEvent.objects.filter(pk__in=_votes(steam_id_64)).delete()[0]
    visits = PlayerSession.objects.filter(steam_id_64=steam_id_64)
    servers = set(visits.values_list("server_id", "steam_id_64"))
    removed = Holdings(
        visits=visits.delete()[0],
        profiles=SteamProfile.objects.filter(pk=steam_id_64).delete()[0],
        notes=PlayerNote.objects.filter(steam_id_64=steam_id_64).delete()[0],
        orders=Order.objects.filter(pk__in=_orders(steam_id_64)).delete()[0],
        bans=bans.delete()[0] if bans_too else 0,
        votes=votes,
        matches=_forget_matches(steam_id_64),
    )
    totals.refresh_after_deletion(servers)
    counts = {"visits": removed.visits, "notes": removed.notes, "bans": removed.bans}
    # The entry names nobody: it is kept for a year.
    record.write(action="player.forget", by=by, target="player:forgotten", request=request, **counts)
    return removed


def _votes(steam_id_64: int) -> list[int]:
    """Votes that the account called, or that name it: the game tells who is to be kicked by name alone."""
    names = {*PlayerSession.objects.filter(steam_id_64=steam_id_64).values_list("name_at_join", flat=True)}
    names |= {*SteamProfile.objects.filter(pk=steam_id_64).values_list("persona_name", flat=True)}
    rows = GameEvent.objects.votes().values_list("pk", "details")
    return [
        pk
        for pk, details in rows.iterator()
        if any(field and (field in names or steam_ids.parse(field) == steam_id_64) for field in details)
    ]


def _forget_matches(steam_id_64: int) -> int:
    """Remove the player from the matches; those that go on see again who is there."""
    account = str(steam_id_64)
    for match in Match.objects.filter(
        Q(ready__icontains=account) | Q(sides__icontains=account) | Q(rounds__icontains=account)
    ):
        match.ready = [each for each in match.ready if each != account]
        match.sides.pop(account, None)
        for played in match.rounds:
            for team in ("team_a", "team_b"):
                played[team] = [each for each in played[team] if each != account]
        match.save(update_fields=["ready", "sides", "rounds"])
    return MatchPlayer.objects.filter(steam_id_64=steam_id_64).delete()[0]


def _orders(steam_id_64: int) -> list[int]:
    """Commands to games that name the account, or whose answer does, in a form that games print."""
    account = steam_id_64 - steam_ids.BASE
    short = f":{account % 2}:{account // 2}"
    named = re.compile(rf"(?<!\d){steam_id_64}(?!\d)|STEAM_[0-5]{short}(?!\d)|\[U:1:{account}\]", re.IGNORECASE)
    found = Q()
    for form in (str(steam_id_64), short, f"[U:1:{account}]"):
        found |= Q(value__contains=form) | Q(output__contains=form)
    rows = Order.objects.filter(found).values_list("pk", "value", "output")
    return [pk for pk, value, output in rows.iterator() if named.search(f"{value}\n{output}")]
