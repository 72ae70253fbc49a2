"""What one answer changes in the history: what is known, the status and the time in; changes out.

Two rules carry the rest. A snapshot row stands as long as nothing it shows has changed. A session is one stay of
one account: `connected` in the status tells when the stay began, so a stay that we lost sight of goes on where it
was, and one that ended and began anew between two polls is two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from livestate.status import Player, Status

LONGEST_MAP = 128
LONGEST_NAME = 128
# `connected` counts whole seconds, and an answer waits a little until it is dealt with.
JOIN_TOLERANCE = timedelta(seconds=2.5)
SEEN_TOLERANCE = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Picture:
    """What a snapshot shows; another one makes another row."""

    players: int
    max_players: int
    bots: int
    map: str
    hibernating: bool


@dataclass(slots=True)
class Stay:
    """A session row as far as it matters here; open as long as it has no `left_at`."""

    id: int
    joined_at: datetime
    left_at: datetime | None
    min_ping: int | None
    max_ping: int | None


@dataclass(slots=True)
class Known:
    """What the rows say about one server: its latest snapshot and who is on."""

    snapshot_id: int | None = None
    picture: Picture | None = None
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
    """What to write. With neither a new picture nor anything else, only the time last seen moves on."""

    picture: Picture | None = None
    opened: list[Arrival] = field(default_factory=list)
    reopened: list[tuple[int, Stay]] = field(default_factory=list)
    closed: list[tuple[int, Stay]] = field(default_factory=list)
    pinged: list[Stay] = field(default_factory=list)


def picture_of(status: Status) -> Picture:
    return Picture(
        players=len(status.people),
        max_players=status.max or 0,
        bots=status.bots_seen,
        map=_storable(status.map or "", LONGEST_MAP),
        hibernating=bool(status.hibernating),
    )


def accounts(status: Status) -> dict[int, Player]:
    """Who is on, by Steam id. A player who reconnects can be listed twice for a while: the longer stay counts."""
    found: dict[int, Player] = {}
    for player in status.players:
        if player.steamid64 is None:
            continue
        account = int(player.steamid64)
        other = found.get(account)
        if other is None or (other.connected_seconds or 0) < (player.connected_seconds or 0):
            found[account] = player
    return found


def newcomers(known: Known, status: Status) -> set[int]:
    """Accounts whose earlier stay has to be looked up before `changes` can tell whether it goes on."""
    return accounts(status).keys() - known.stays.keys()


def changes(known: Known, status: Status, now: datetime, *, earlier: Mapping[int, Stay], gap: timedelta) -> Changes:
    """Compare. `earlier` holds the newcomers' last closed stays; a silence longer than `gap` begins a new row.

    Ping ranges and `left_at` are set in the stays that are handed back; writing them is the caller's.
    """
    result = Changes()
    picture = picture_of(status)
    if picture != known.picture or known.seen_at is None or now - known.seen_at > gap:
        result.picture = picture
    present = accounts(status)
    for account, player in present.items():
        _reconcile_player(result, known, account, player, now, earlier.get(account))
    for account, stay in known.stays.items():
        if account not in present:
            _close(result, known, account, stay)
    return result


def end_of(stay: Stay, seen_at: datetime | None) -> datetime:
    """When a stay ended that is gone now: when it was last seen, for nobody knows better."""
    return stay.joined_at if seen_at is None else max(seen_at, stay.joined_at)


def _reconcile_player(
    result: Changes, known: Known, account: int, player: Player, now: datetime, earlier: Stay | None
) -> None:
    joined_at = now - timedelta(seconds=player.connected_seconds or 0)
    # While a player is still loading the column shows 0 or nonsense.
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
        # The stays of one account do not overlap, whatever the clocks say.
        joined_at = max(joined_at, seen_at)
    if current is not None:
        _close(result, known, account, current)
    result.opened.append(Arrival(account, joined_at, _storable(player.name, LONGEST_NAME), ping))


def _close(result: Changes, known: Known, account: int, stay: Stay) -> None:
    stay.left_at = end_of(stay, known.seen_at)
    result.closed.append((account, stay))


def _widen(stay: Stay, ping: int | None) -> bool:
    """Take the ping into the stay's range; True if that changed it."""
    if ping is None or (
        stay.min_ping is not None and stay.max_ping is not None and stay.min_ping <= ping <= stay.max_ping
    ):
        return False
    stay.min_ping = ping if stay.min_ping is None else min(stay.min_ping, ping)
    stay.max_ping = ping if stay.max_ping is None else max(stay.max_ping, ping)
    return True


def _storable(text: str, length: int) -> str:
    # PostgreSQL refuses NUL in text; a hostile server could so stop its own history.
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")[:length]
