"""Computes what a status changes in the history. Takes the known rows, a status and the time, returns changes.

Two rules decide everything. A snapshot row is extended as long as its content does not change. A session is one
stay of one account: `connected` in the status tells when the stay began. So a session that was closed while the
server was silent is reopened when the same connection is still there, and a player who left and came back between
two polls gets two sessions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from left4me.core.rows import storable
from livestate.status import Player, Status

LONGEST_MAP = 128
LONGEST_NAME = 128
# `connected` counts whole seconds, and some time passes between the answer and its processing.
JOIN_TOLERANCE = timedelta(seconds=2.5)
SEEN_TOLERANCE = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class SnapshotState:
    """The content of a snapshot row. A different content makes a new row."""

    players: int
    max_players: int
    bots: int
    map: str
    hibernating: bool
    # The name and Steam id (None while it is not known) of each player who is still loading; counted in `players`.
    connecting: tuple[tuple[str, str | None], ...] = ()


@dataclass(slots=True)
class Stay:
    """The fields of a session row that are needed here; open as long as `left_at` is None."""

    id: int
    joined_at: datetime
    left_at: datetime | None
    min_ping: int | None
    max_ping: int | None


@dataclass(slots=True)
class Known:
    """The rows of one server: its latest snapshot and its open sessions by Steam id."""

    snapshot_id: int | None = None
    snapshot: SnapshotState | None = None
    seen_at: datetime | None = None
    stays: dict[int, Stay] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Arrival:
    steam_id_64: int
    joined_at: datetime
    name: str
    ping: int | None


@dataclass(slots=True)
class Changes:
    """The rows to write. Without a new `snapshot`, only `last_seen_at` of the present one is updated."""

    snapshot: SnapshotState | None = None
    opened: list[Arrival] = field(default_factory=list)
    reopened: list[tuple[int, Stay]] = field(default_factory=list)
    closed: list[tuple[int, Stay]] = field(default_factory=list)
    pinged: list[Stay] = field(default_factory=list)


def snapshot_state(status: Status) -> SnapshotState:
    return SnapshotState(
        players=status.people_seen,
        max_players=status.max or 0,
        bots=status.bots_seen,
        map=storable(status.map or "", LONGEST_MAP),
        hibernating=bool(status.hibernating),
        connecting=tuple(
            (storable(player.name, LONGEST_NAME), player.steamid64) for player in status.people if player.is_connecting
        ),
    )


def accounts(status: Status) -> dict[int, Player]:
    """The players online by Steam id. One who reconnects can be listed twice for a while: the longer stay counts."""
    by_account: dict[int, Player] = {}
    for player in status.players:
        # Without the time of connection it is not known which stay this is.
        if player.steamid64 is None or player.connected_seconds is None:
            continue
        account = int(player.steamid64)
        other = by_account.get(account)
        if other is None or (other.connected_seconds or 0) < (player.connected_seconds or 0):
            by_account[account] = player
    return by_account


def newcomers(known: Known, status: Status) -> set[int]:
    """Accounts without an open session. `changes` needs their last closed one to decide whether it goes on."""
    return accounts(status).keys() - known.stays.keys()


def changes(known: Known, status: Status, now: datetime, *, earlier: Mapping[int, Stay], gap: timedelta) -> Changes:
    """Compare a status with the known rows.

    `earlier` holds the last closed sessions of the newcomers. After a silence longer than `gap` a new snapshot row
    begins. The returned stays have their new `left_at` and ping range set; the caller writes them.
    """
    result = Changes()
    state = snapshot_state(status)
    if state != known.snapshot or known.seen_at is None or now - known.seen_at > gap:
        result.snapshot = state
    present = accounts(status)
    for account, player in present.items():
        _reconcile_player(result, known, account, player, now, earlier.get(account))
    if not status.unreadable_rows:
        without_time = {player.steamid64 for player in status.people if player.connected_seconds is None}
        for account, stay in known.stays.items():
            if account not in present and str(account) not in without_time:
                _close(result, known, account, stay)
    return result


def end_of(stay: Stay, seen_at: datetime | None) -> datetime:
    """The end of a stay that is over: the time of the last poll that saw it."""
    return stay.joined_at if seen_at is None else max(seen_at, stay.joined_at)


def _reconcile_player(
    result: Changes, known: Known, account: int, player: Player, now: datetime, earlier: Stay | None
) -> None:
    joined_at = now - timedelta(seconds=player.connected_seconds or 0)
    # While a player is loading, the ping column shows 0 or a meaningless number.
    ping = player.ping if player.state == "active" else None
    current = known.stays.get(account)
    stay = current or earlier
    if stay is not None:
        seen_at = stay.left_at or end_of(stay, known.seen_at)
        if joined_at <= max(stay.joined_at + JOIN_TOLERANCE, seen_at - SEEN_TOLERANCE):
            if current is None:
                stay.left_at = None
                result.reopened.append((account, stay))
            if _widen(stay, ping):
                result.pinged.append(stay)
            return
        # Sessions of one account must not overlap, also when the clocks disagree.
        joined_at = max(joined_at, seen_at)
    if current is not None:
        _close(result, known, account, current)
    result.opened.append(Arrival(account, joined_at, storable(player.name, LONGEST_NAME), ping))


def _close(result: Changes, known: Known, account: int, stay: Stay) -> None:
    stay.left_at = end_of(stay, known.seen_at)
    result.closed.append((account, stay))


def _widen(stay: Stay, ping: int | None) -> bool:
    """Widen the ping range of the stay to include `ping`; returns whether it changed."""
    if ping is None or (
        stay.min_ping is not None and stay.max_ping is not None and stay.min_ping <= ping <= stay.max_ping
    ):
        return False
    stay.min_ping = ping if stay.min_ping is None else min(stay.min_ping, ping)
    stay.max_ping = ping if stay.max_ping is None else max(stay.max_ping, ping)
    return True
