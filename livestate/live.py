"""The live state of servers, for badges, panels and the API. Takes rows and the current time, returns values."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from django.conf import settings
from django.utils.translation import gettext as _

from left4me.core.statements import Given, Numbers, select
from livestate.campaigns import Chapter, MapTitles
from livestate.models import Order, PlayerSession, Silence, Snapshot, SteamProfile
from livestate.orders import commands
from servers.models import Server

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

RECENT_PLAYERS = 20
# Sessions to search for recent players: one player who reconnects all evening must not fill the list alone.
_RECENT_ROWS = 400


class Kind(StrEnum):
    OFF = "off"  # not running
    UNHEARD = "unheard"  # running, has not answered since its start
    STALE = "stale"  # running, the last answer is too old
    IDLE = "idle"
    PLAYED = "played"


@dataclass(frozen=True, slots=True)
class Live:
    """A server's latest snapshot, and whether it still describes the running game."""

    server: Server
    kind: Kind
    snapshot: Snapshot | None
    chapter: Chapter | None
    silence: Silence | None

    @property
    def last_seen_at(self) -> datetime | None:
        return self.snapshot.last_seen_at if self.snapshot else None

    @property
    def players(self) -> int | None:
        return self.snapshot.players if self.snapshot else None

    @property
    def max_players(self) -> int | None:
        return self.snapshot.max_players if self.snapshot else None

    @property
    def map(self) -> str:
        return self.snapshot.map if self.snapshot else ""

    @property
    def is_current(self) -> bool:
        return self.kind in (Kind.IDLE, Kind.PLAYED)

    @property
    def connecting(self) -> list[Joiner]:
        """The players who are still loading."""
        if self.snapshot is None or not self.is_current:
            return []
        return [Joiner(name, int(steam_id) if steam_id else None) for name, steam_id in self.snapshot.connecting]

    @property
    def connecting_ids(self) -> set[int | None]:
        return {joiner.steam_id_64 for joiner in self.connecting}


@dataclass(frozen=True, slots=True)
class Joiner:
    """A player who is still loading; the Steam id is None while Steam has not confirmed it."""

    name: str
    steam_id_64: int | None


@dataclass(frozen=True, slots=True)
class ShownPlayer:
    """A player session with the Steam profile of its account, if there is one."""

    session: PlayerSession
    profile: SteamProfile | None

    @property
    def name(self) -> str:
        """The current Steam name, else the name at the time of joining."""
        return (self.profile.persona_name if self.profile else "") or self.session.name_at_join or "?"

    @property
    def avatar_url(self) -> str:
        return self.profile.avatar_url if self.profile else ""

    @property
    def steam_url(self) -> str:
        return f"https://steamcommunity.com/profiles/{self.session.steam_id_64}"


_snapshots = select(lambda: Snapshot.objects.latest_of(Numbers("servers")))
_silences = select(lambda: Silence.objects.filter(server_id__in=Numbers("servers")))


def of_servers(servers: Sequence[Server], *, now: datetime) -> list[Live]:
    """The live state of each server, in the given order. The number of queries does not depend on their number."""
    running = [server.pk for server in servers if server.actual_state == Server.State.RUNNING]
    snapshots = {row.server_id: row for row in _snapshots.rows(servers=running)} if running else {}
    silences = {row.server_id: row for row in _silences.rows(servers=running)} if running else {}
    titles = MapTitles(servers)
    return [_live(server, snapshots.get(server.pk), silences.get(server.pk), titles, now) for server in servers]


def of(server: Server, *, now: datetime) -> Live:
    return of_servers([server], now=now)[0]


_online = select(lambda: PlayerSession.objects.open().filter(server_id=Given("server")).order_by("joined_at", "pk"))


def current_players(server: Server) -> list[ShownPlayer]:
    """The players who are online now, the longest session first."""
    return with_profiles(_online.rows(server=server.pk))


def unlisted_joiners(current: Live, players: Sequence[ShownPlayer]) -> list[Joiner]:
    """The loading players who have no session yet, so that they are not among `players`."""
    listed = {player.session.steam_id_64 for player in players}
    return [joiner for joiner in current.connecting if joiner.steam_id_64 not in listed]


def recent_players(server: Server) -> list[ShownPlayer]:
    """Players who have left, each once with their latest session; those who left last come first."""
    online = set(PlayerSession.objects.open().filter(server=server).values_list("steam_id_64", flat=True))
    rows = PlayerSession.objects.filter(server=server, left_at__isnull=False).order_by("-left_at", "-pk")
    latest: dict[int, PlayerSession] = {}
    for row in rows[:_RECENT_ROWS]:
        if row.steam_id_64 not in online:
            latest.setdefault(row.steam_id_64, row)
    return with_profiles(list(latest.values())[:RECENT_PLAYERS])


def order_rows(orders: Sequence[Order], *, now: datetime) -> list[dict[str, object]]:
    """Orders as template context: with their effective state at `now`, and with a player's name for a Steam id."""
    accounts = {int(order.value) for order in orders if order.kind in (Order.Kind.KICK, Order.Kind.BAN)}
    names = names_of(accounts) if accounts else {}
    return [
        {
            "order": order,
            "state": (state := Order.State(order.state_at(now))),
            "state_label": _state_label(order, state),
            "subject": names.get(int(order.value)) if order.value.isascii() and order.value.isdigit() else None,
        }
        for order in orders
    ]


def _state_label(order: Order, state: Order.State) -> StrOrPromise:
    """The words of a badge. What became of a command is known less often than what became of an action."""
    if order.kind == Order.Kind.COMMAND and state is Order.State.FAILED and commands.is_unknown(order.output):
        return _("Unknown command")
    if state is Order.State.UNCERTAIN:
        return _("No reply") if order.kind == Order.Kind.COMMAND else _("Not confirmed")
    return state.label


def names_of(steam_ids: Collection[int]) -> dict[int, str]:
    """The names of these accounts by Steam id; accounts that never joined a server are missing."""
    rows = PlayerSession.objects.filter(steam_id_64__in=steam_ids).order_by("joined_at")
    names = dict(rows.values_list("steam_id_64", "name_at_join"))
    profiles = SteamProfile.objects.filter(pk__in=steam_ids).exclude(persona_name="")
    return {**names, **dict(profiles.values_list("pk", "persona_name"))}


_profiles = select(lambda: SteamProfile.objects.filter(pk__in=Numbers("accounts")))


def with_profiles(sessions: Sequence[PlayerSession]) -> list[ShownPlayer]:
    """The sessions with their Steam profiles, fetched in one query."""
    # Each account once: those of regulars would be read again with every thousand visits.
    accounts = {session.steam_id_64 for session in sessions}
    profiles = {row.pk: row for row in _profiles.rows(accounts=accounts)} if accounts else {}
    return [ShownPlayer(session, profiles.get(session.steam_id_64)) for session in sessions]


def _live(
    server: Server, snapshot: Snapshot | None, silence: Silence | None, titles: MapTitles, now: datetime
) -> Live:
    chapter = titles.chapter(server.pk, snapshot.map) if snapshot else None
    return Live(server, _kind(server, snapshot, now), snapshot, chapter, silence)


def _kind(server: Server, snapshot: Snapshot | None, now: datetime) -> Kind:
    if server.actual_state != Server.State.RUNNING:
        return Kind.OFF
    # A snapshot from before the latest start describes another run of the game.
    if snapshot is None or (server.started_at is not None and snapshot.last_seen_at < server.started_at):
        return Kind.UNHEARD
    if now - snapshot.last_seen_at > timedelta(seconds=settings.LEFT4ME_STALE_SECONDS):
        return Kind.STALE
    return Kind.PLAYED if snapshot.players else Kind.IDLE
