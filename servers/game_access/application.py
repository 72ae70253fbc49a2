"""Applies rosters to the running servers of this host, and to servers that are about to start.

The wanted file is compared with what was applied last, so that nothing needs to be told what changed: shares, users,
dates and lists take effect within seconds, and what a message did not reach is applied by the next round.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from django.utils import timezone

from left4me.core import secrets
from left4me.core.redis import hosts, signals
from servers.game_access import admins_file, roster
from servers.game_access.roster import Roster
from servers.gamehost import rcon
from servers.gamehost.directory import ServerDirectory
from servers.hosts import this_host
from servers.hosts.start_parts import StartPart
from servers.models import Blueprint, GameAccessState, Server

logger = logging.getLogger(__name__)

TASK: Final = "servers.apply_game_access"
Result = GameAccessState.Result
_MESSAGE_SECONDS: Final = 20.0
_MOST_AT_ONCE: Final = 16
# A server that does not take the list is not asked in every round.
_RETRY_AFTER: Final = timedelta(seconds=30)
_NOT_THERE: Final = "Unknown command"


def request(of: Blueprint | Server) -> None:
    """Have the hosts of the running servers apply their rosters now, instead of with the next round."""
    servers = Server.objects.filter(pk=of.pk) if isinstance(of, Server) else of.servers.all()
    for name in set(servers.running().values_list("host__name", flat=True)):
        hosts.send_after_commit(name, TASK, expires=_MESSAGE_SECONDS)


def for_start(server: Server, layers: Sequence[Path]) -> StartPart:
    """The present roster of a server as its start needs it: nothing without SourceMod."""
    if not admins_file.has_sourcemod(layers):
        return StartPart()
    wanted = roster.of_one(server, now=timezone.now())
    text = admins_file.render(wanted.admins, below=admins_file.inherited(layers))
    slots = wanted.rules.reserved_slots
    has_lines = slots and admins_file.has_reserved_slots(layers)
    lines = [f"sm_reserved_slots {slots}"] if has_lines else []
    return StartPart(replaceable={admins_file.PATH: text}, lines=lines)


@dataclass(frozen=True)
class _Change:
    """What a running server has to take over. Without a `text` it was started without SourceMod."""

    server: Server
    directory: ServerDirectory
    text: str | None
    reserved_slots: int
    digest: str


def apply(host_name: str, *, now: datetime) -> None:
    """Apply the rosters of all running servers of this host that differ from what was applied last."""
    running = list(
        Server.objects.on_host(host_name)
        .running()
        .order_by("pk")
        .only("pk", "port", "started_at", "sealed_rcon_password", "applied_sealed_rcon_password")
    )
    rosters = roster.of([server.pk for server in running], now=now)
    states = {state.server_id: state for state in GameAccessState.objects.filter(server__in=running)}
    changes = []
    for server in running:
        wanted, state = rosters.get(server.pk), states.get(server.pk)
        # A server whose last row was removed still has to be told.
        if wanted is None or not (wanted.has_rows or state):
            continue
        try:
            change = _due(server, wanted, state, now=now)
        except Exception:
            logger.exception("The admins of server %s could not be compared", server.pk)
        else:
            changes += [change] if change else []
    if not changes:
        return
    # Many are told at once: a silent one does not delay the others.
    with ThreadPoolExecutor(max_workers=min(_MOST_AT_ONCE, len(changes))) as pool:
        for change, (result, detail) in zip(changes, pool.map(_tell, changes), strict=True):
            # The server may have been deleted since.
            if Server.objects.filter(pk=change.server.pk).exists():
                _record(change, result, detail, now=now)


def _due(server: Server, wanted: Roster, state: GameAccessState | None, *, now: datetime) -> _Change | None:
    """The change that the server has to take over now, if any."""
    directory = this_host.storage().of(server.pk)
    text = _text(directory, wanted)
    slots = wanted.rules.reserved_slots
    digest = hashlib.sha256(f"{slots}\n{text}".encode()).hexdigest()
    if state is not None and state.is_current(digest, server.started_at):
        is_settled = state.result != Result.FAILED or now - state.at < _RETRY_AFTER
        if is_settled:
            return None
    return _Change(server, directory, text, slots, digest)


def _record(change: _Change, result: Result, detail: str, *, now: datetime) -> None:
    server = change.server
    GameAccessState.objects.update_or_create(
        server=server,
        defaults={
            "digest": change.digest,
            "started_at": server.started_at,
            "result": result,
            "detail": server.masker(detail)[:300],
            "at": now,
        },
    )
    signals.send_after_commit(server.resource)
    logger.info("Admins of server %s: %s", server.pk, result)


def _text(directory: ServerDirectory, wanted: Roster) -> str | None:
    """The file as it should be; None for a game that was started without SourceMod."""
    if not directory.has_replaceable(admins_file.PATH):
        return None
    layers = [Path(layer) for layer in directory.read_layers()]
    return admins_file.render(wanted.admins, below=admins_file.inherited(layers))


def _tell(change: _Change) -> tuple[Result, str]:
    """Have a game take over a change. Runs in a thread of its own, and reads no rows."""
    try:
        return _write_and_ask(change)
    except (rcon.RconError, secrets.Unreadable, OSError) as error:
        return Result.FAILED, str(error)
    except Exception as error:
        # The other games are told all the same.
        logger.exception("The admins of server %s could not be applied", change.server.pk)
        return Result.FAILED, str(error)


def _write_and_ask(change: _Change) -> tuple[Result, str]:
    layers = [Path(layer) for layer in change.directory.read_layers()]
    if change.text is None:
        # Started by a release that did not link the file into the game.
        return (Result.RESTART, "") if admins_file.has_sourcemod(layers) else (Result.NO_SOURCEMOD, "")
    change.directory.write_replaceable({admins_file.PATH: change.text})
    answer = this_host.ask_game(change.server, "sm_reloadadmins")
    if admins_file.has_reserved_slots(layers):
        this_host.ask_game(change.server, f"sm_reserved_slots {change.reserved_slots}")
    if _NOT_THERE in answer:
        return Result.NO_SOURCEMOD, ""
    # SourceMod confirms in the language of the server, always after its mark.
    return (Result.APPLIED, "") if answer.lstrip().startswith("[SM]") else (Result.FAILED, answer.strip())
