"""Applies bans to running games over RCON, confirms each by the game's own list, and stores what came of it.

The rows decide, whatever happened since: a pass compares the game's list with them, so that an outage of the worker,
of Redis, of the host or of the game ends with the next pass. A ban that left4me does not know was made in the game, by
a plugin or on the console; it becomes a row of the server's own list instead of being removed.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.utils import timezone

from left4me.core import secrets
from left4me.core.redis import signals
from livestate.bans import adoption, effective, game_list, targets
from livestate.bans.effective import Lists, Wanted
from livestate.bans.game_list import NotList
from livestate.bans.models import AppliedBans
from livestate.status import parse_status
from servers.gamehost import rcon
from servers.hosts import this_host
from servers.models import Server

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 10.0
AT_ONCE = 20
# How often a game is compared with the rows although no row has changed: the console can lift bans, too.
COMPARED_EVERY = timedelta(minutes=10)
FIRST_RETRY_SECONDS = 5
LONGEST_RETRY_SECONDS = 300
LONGEST_REASON = 200


@dataclass(slots=True)
class Outcome:
    """What a pass found in one game. With an `error` the rest is unknown."""

    problems: dict[str, str] = field(default_factory=dict)
    foreign: dict[str, float] = field(default_factory=dict)
    error: str = ""


def apply_due(host_name: str, *, now: datetime) -> int:
    """Apply bans to the running games of the host for which there is something to do; return their number."""
    servers = list(Server.objects.on_host(host_name).running().order_by("pk"))
    lists = effective.lists_of(servers)
    rows = AppliedBans.objects.in_bulk([server.pk for server in servers])
    due = [server for server in servers if _is_due(server, lists[server.pk], rows.get(server.pk), now)]
    if not due:
        return 0
    wanted = effective.wanted([lists[server.pk] for server in due], now=now)
    passes = [(server, wanted[lists[server.pk].signature], rows.get(server.pk)) for server in due]
    outcomes = asyncio.run(_apply_all(passes, now))
    for (server, bans, row), outcome in zip(passes, outcomes, strict=True):
        _record(server, lists[server.pk], bans, row, outcome)
    return len(due)


def _is_due(server: Server, lists: Lists, row: AppliedBans | None, now: datetime) -> bool:
    if row is None or row.due_at is None or row.due_at <= now:
        return True
    if row.game_started_at != server.started_at:
        return True
    # After a failure only the pause counts: a game that hangs must not be asked more often because a list changes.
    return not row.error and row.signature != lists.signature


async def _apply_all(passes: list[tuple[Server, Wanted, AppliedBans | None]], now: datetime) -> list[Outcome]:
    turns = asyncio.Semaphore(AT_ONCE)

    async def apply(server: Server, wanted: Wanted, row: AppliedBans | None) -> Outcome:
        async with turns:
            return await _apply(server, wanted, row.targets if row else {}, now)

    return await asyncio.gather(*(apply(*each) for each in passes))


async def _apply(server: Server, wanted: Wanted, known: dict[str, str | None], now: datetime) -> Outcome:
    try:
        client = rcon.Client(this_host.ADDRESS, server.port, server.live_rcon_password)
    except secrets.Unreadable as error:
        return Outcome(error=str(error))
    try:
        return await apply_to_game(client, wanted, known, now=now)
    except (rcon.RconError, NotList) as error:
        return Outcome(error=str(error))
    except Exception as error:  # one game must not keep the others from being asked
        logger.exception("Applying bans to server %s failed", server.pk)
        return Outcome(error=f"{type(error).__name__}: {error}")
    finally:
        client.close()


async def apply_to_game(
    client: rcon.Client, wanted: Wanted, known: dict[str, str | None], *, now: datetime
) -> Outcome:
    """Make the game's list what is wanted. Raises RconError and NotList."""
    listed = game_list.parse(await _ask(client, game_list.LIST))
    changes = game_list.compare(listed, wanted, known, now=now)
    outcome = Outcome(foreign=changes.foreign)
    if not changes.add and not changes.remove:
        return outcome
    printed = [await _ask(client, packet) for packet in game_list.commands(changes)]
    listed = game_list.parse(await _ask(client, game_list.LIST))
    why = _complaint(printed)
    for target in changes.add.keys() - listed.keys():
        outcome.problems[target] = why or "The game does not list it."
    for target in changes.remove.keys() & listed.keys():
        outcome.problems[target] = why or "The game still lists it."
    await _kick(client, {target for target in changes.add if targets.is_player(target)})
    return outcome


async def _kick(client: rcon.Client, players: set[str]) -> None:
    """Kick the banned players who are still there: `banid` overlooks those who are loading."""
    if not players:
        return
    status = parse_status(await _ask(client, "status"))
    for player in status.people:
        if player.steamid64 in players:
            await _ask(client, f"kickid {player.userid} Banned")


async def _ask(client: rcon.Client, command: str) -> str:
    # Every command leads to the same state when it is sent twice.
    return await client.ask(command, timeout=TIMEOUT_SECONDS, repeatable=True)


def _complaint(printed: list[str]) -> str:
    """The game's own words about a failure, if it printed any."""
    for text in printed:
        for line in text.splitlines():
            if line.startswith(("Can't", "Couldn't", "Unknown command", "Bad filter")) or "list is full" in line:
                return line[:LONGEST_REASON]
    return ""


def _record(server: Server, lists: Lists, wanted: Wanted, row: AppliedBans | None, outcome: Outcome) -> None:
    """Store the outcome; the server may have been deleted since."""
    if not Server.objects.filter(pk=server.pk).exists():
        return
    now = timezone.now()
    row = row or AppliedBans(server=server)
    before = _shown(row)
    has_failed = bool(outcome.error or outcome.problems)
    row.failures = row.failures + 1 if has_failed else 0
    row.error, row.problems = outcome.error[:300], outcome.problems
    row.game_started_at = server.started_at
    if not outcome.error:
        adoption.adopt(server, outcome.foreign, now=now)
        row.signature, row.checked_at = lists.signature, now
        row.targets = _known_after(wanted, row.targets, outcome)
    row.due_at = _next_pass(row, wanted, now=now)
    row.save()
    if _shown(row) != before:
        signals.send_after_commit(server.resource)
    if has_failed and row.failures == 1:
        logger.warning("Bans of server %s are not confirmed: %s", server.pk, outcome.error or outcome.problems)


def _shown(row: AppliedBans) -> tuple[object, ...]:
    """What pages show. That a game was compared again is no news: with thousands of them it would be all the time."""
    return (row.pk and row.checked_at is not None, row.signature, row.error, row.problems, row.targets)


def _known_after(wanted: Wanted, known: dict[str, str | None], outcome: Outcome) -> dict[str, str | None]:
    """What left4me has banned in the game now; what could not be removed stays known, so that it is tried again."""
    applied = {
        target: expires_at.isoformat() if expires_at else None
        for target, expires_at in wanted.items()
        if target not in outcome.problems
    }
    return applied | {target: known[target] for target in outcome.problems if target in known}


def _next_pass(row: AppliedBans, wanted: Wanted, *, now: datetime) -> datetime:
    if row.failures:
        return now + timedelta(seconds=min(FIRST_RETRY_SECONDS * 2 ** (row.failures - 1), LONGEST_RETRY_SECONDS))
    return min([now + COMPARED_EVERY, *(expires_at for expires_at in wanted.values() if expires_at)])
