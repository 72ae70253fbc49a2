"""Applies rosters to the running servers of this host, and to servers that are about to start.

The wanted file is compared with what was applied last, so that nothing needs to be told what changed: shares, users,
dates and lists take effect within seconds, and what a message did not reach is applied by the next round.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from django.db import transaction

from left4me.core import secrets
from left4me.core.redis import hosts, signals
from servers.game_access import admins_file, roster
from servers.game_access.roster import Roster
from servers.gamehost import rcon
from servers.gamehost.directory import ServerDirectory
from servers.hosts import this_host
from servers.models import Blueprint, GameAccessState, Server

logger = logging.getLogger(__name__)

TASK: Final = "servers.apply_game_access"
Result = GameAccessState.Result
_ADDRESS: Final = "127.0.0.1"
_RCON_SECONDS: Final = 5.0
_MESSAGE_SECONDS: Final = 20.0
# A server that does not take the list is not asked in every round.
_RETRY_AFTER: Final = timedelta(seconds=30)
_NOT_THERE: Final = "Unknown command"


def request(of: Blueprint | Server) -> None:
    """Have the hosts of the running servers apply their rosters now, instead of with the next round."""
    servers = Server.objects.filter(pk=of.pk) if isinstance(of, Server) else of.servers.all()
    names = set(servers.running().values_list("host__name", flat=True))
    transaction.on_commit(lambda: [hosts.send(name, TASK, expires=_MESSAGE_SECONDS) for name in names])


@dataclass(frozen=True)
class AtStart:
    """What a start brings with it: replaceable files by path below the game, and lines of server.cfg."""

    files: Mapping[str, str] = field(default_factory=dict)
    lines: Sequence[str] = ()


def for_start(server: Server, layers: Sequence[Path], *, now: datetime) -> AtStart:
    """The present roster of a server as its start needs it: nothing without SourceMod."""
    if not admins_file.has_sourcemod(layers):
        return AtStart()
    wanted = roster.of_one(server, now=now)
    text = admins_file.render(wanted.admins, below=admins_file.inherited(layers))
    slots = wanted.rules.reserved_slots
    has_lines = slots and admins_file.has_reserved_slots(layers)
    return AtStart({admins_file.PATH: text}, (f"sm_reserved_slots {slots}",) if has_lines else ())


def apply(host_name: str, *, now: datetime) -> None:
    """Apply the rosters of all running servers of this host that differ from what was applied last."""
    running = list(
        Server.objects.on_host(host_name)
        .running()
        .only("pk", "port", "started_at", "sealed_rcon_password", "applied_sealed_rcon_password")
    )
    rosters = roster.of([server.pk for server in running], now=now)
    states = {state.server_id: state for state in GameAccessState.objects.filter(server__in=running)}
    for server in running:
        wanted, state = rosters.get(server.pk), states.get(server.pk)
        # A server whose last row was removed still has to be told.
        if wanted is None or not (wanted.has_rows or state):
            continue
        try:
            _apply_to(server, wanted, state, now=now)
        except Exception:
            logger.exception("The admins of server %s could not be applied", server.pk)


def _apply_to(server: Server, wanted: Roster, state: GameAccessState | None, *, now: datetime) -> None:
    directory = this_host.storage().of(server.pk)
    text = _text(directory, wanted)
    digest = hashlib.sha256(f"{wanted.rules.reserved_slots}\n{text}".encode()).hexdigest()
    if state is not None and state.is_current(digest, server.started_at):
        is_settled = state.result != Result.FAILED or now - state.at < _RETRY_AFTER
        if is_settled:
            return
    result, detail = _tell(server, directory, text, reserved_slots=wanted.rules.reserved_slots)
    GameAccessState.objects.update_or_create(
        server=server,
        defaults={
            "digest": digest,
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


def _tell(server: Server, directory: ServerDirectory, text: str | None, *, reserved_slots: int) -> tuple[Result, str]:
    layers = [Path(layer) for layer in directory.read_layers()]
    if text is None:
        # Started by a release that did not link the file into the game.
        return (Result.RESTART, "") if admins_file.has_sourcemod(layers) else (Result.NO_SOURCEMOD, "")
    directory.write_replaceable({admins_file.PATH: text})
    try:
        answer = _ask(server, "sm_reloadadmins")
        if admins_file.has_reserved_slots(layers):
            _ask(server, f"sm_reserved_slots {reserved_slots}")
    except (rcon.RconError, secrets.Unreadable) as error:
        return Result.FAILED, str(error)
    if _NOT_THERE in answer:
        return Result.NO_SOURCEMOD, ""
    # SourceMod confirms in the language of the server, always after its mark.
    return (Result.APPLIED, "") if answer.lstrip().startswith("[SM]") else (Result.FAILED, answer.strip())


def _ask(server: Server, command: str) -> str:
    return str(rcon.execute(_ADDRESS, server.port, server.live_rcon_password, command, timeout=_RCON_SECONDS))
