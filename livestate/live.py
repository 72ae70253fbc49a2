"""What servers show at this moment, for badges, panels and the API: rows and the time in, values out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from django.conf import settings

from livestate.campaigns import Chapter, Words
from livestate.models import Order, PlayerSession, Silence, Snapshot, SteamProfile
from servers.models import Server

RECENT_PLAYERS = 12
# Rows to look through for them: somebody who reconnects all evening must not be the only one shown.
_RECENT_ROWS = 200


class Kind(StrEnum):
    OFF = "off"  # not running, so there is nothing to tell
    UNHEARD = "unheard"  # running, and has not answered yet
    STALE = "stale"  # running, last heard too long ago
    IDLE = "idle"
    PLAYED = "played"


@dataclass(frozen=True, slots=True)
class Live:
    """One server's latest snapshot and what it is worth now."""

    server: Server
    kind: Kind
    snapshot: Snapshot | None
    chapter: Chapter | None
    silence: Silence | None

    @property
    def last_seen_at(self) -> datetime | None:
        return self.snapshot.last_seen_at if self.snapshot else None

    @property
    def is_current(self) -> bool:
        return self.kind in (Kind.IDLE, Kind.PLAYED)


@dataclass(frozen=True, slots=True)
class Person:
    """A player as shown: a stay, with the name and picture of the profile where there is one."""

    session: PlayerSession
    profile: SteamProfile | None

    @property
    def name(self) -> str:
        """What they call themselves: on Steam, or as they joined."""
        return (self.profile.persona_name if self.profile else "") or self.session.name_at_join or "?"

    @property
    def avatar_url(self) -> str:
        return self.profile.avatar_url if self.profile else ""

    @property
    def steam_url(self) -> str:
        return f"https://steamcommunity.com/profiles/{self.session.steam_id_64}"


def of_servers(servers: Sequence[Server], *, now: datetime) -> list[Live]:
    """The state of each, in their order, in as many queries for one as for many."""
    running = [server.pk for server in servers if server.actual_state == Server.State.RUNNING]
    snapshots = {row.server_id: row for row in Snapshot.objects.latest_of(running)} if running else {}
    silences = {row.server_id: row for row in Silence.objects.filter(server_id__in=running)} if running else {}
    words = Words(servers)
    return [_live(server, snapshots.get(server.pk), silences.get(server.pk), words, now) for server in servers]


def of(server: Server, *, now: datetime) -> Live:
    return of_servers([server], now=now)[0]


def players_on(server: Server) -> list[Person]:
    """Who is on, the longest first."""
    return people(list(PlayerSession.objects.open().filter(server=server).order_by("joined_at", "pk")))


def players_lately(server: Server) -> list[Person]:
    """Who was here and is not now, each once, the latest first."""
    here = set(PlayerSession.objects.open().filter(server=server).values_list("steam_id_64", flat=True))
    rows = PlayerSession.objects.filter(server=server, left_at__isnull=False).order_by("-joined_at", "-pk")
    seen: dict[int, PlayerSession] = {}
    for row in rows[:_RECENT_ROWS]:
        if row.steam_id_64 not in here:
            seen.setdefault(row.steam_id_64, row)
    return people(list(seen.values())[:RECENT_PLAYERS])


def orders(given: Sequence[Order], *, now: datetime) -> list[dict[str, object]]:
    """Orders as templates show them: in the state they are in by now, with a player's name for a Steam id."""
    about = {int(order.value) for order in given if order.kind in (Order.Kind.KICK, Order.Kind.BAN)}
    names = names_of(about) if about else {}
    return [
        {
            "order": order,
            "state": Order.State(order.state_at(now)),
            "subject": names.get(int(order.value)) if order.value.isascii() and order.value.isdigit() else None,
        }
        for order in given
    ]


def names_of(steam_ids: Collection[int]) -> dict[int, str]:
    """What these accounts call themselves, as far as they were ever seen."""
    rows = PlayerSession.objects.filter(steam_id_64__in=steam_ids).order_by("joined_at")
    names = dict(rows.values_list("steam_id_64", "name_at_join"))
    profiles = SteamProfile.objects.filter(pk__in=steam_ids).exclude(persona_name="")
    return {**names, **dict(profiles.values_list("pk", "persona_name"))}


def people(sessions: Sequence[PlayerSession]) -> list[Person]:
    """Sessions with their profiles, in one query."""
    profiles = SteamProfile.objects.in_bulk([session.steam_id_64 for session in sessions])
    return [Person(session, profiles.get(session.steam_id_64)) for session in sessions]


def _live(server: Server, snapshot: Snapshot | None, silence: Silence | None, words: Words, now: datetime) -> Live:
    chapter = words.chapter(server.pk, snapshot.map) if snapshot else None
    return Live(server, _kind(server, snapshot, now), snapshot, chapter, silence)


def _kind(server: Server, snapshot: Snapshot | None, now: datetime) -> Kind:
    if server.actual_state != Server.State.RUNNING:
        return Kind.OFF
    # A snapshot of the start before says nothing about the game that runs now.
    if snapshot is None or (server.started_at is not None and snapshot.last_seen_at < server.started_at):
        return Kind.UNHEARD
    if now - snapshot.last_seen_at > timedelta(seconds=settings.LEFT4ME_STALE_SECONDS):
        return Kind.STALE
    return Kind.PLAYED if snapshot.players else Kind.IDLE
