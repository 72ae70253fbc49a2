"""SourceTV in the game: what a start is given for it, and how a running game takes over a change.

A game reads the port and `tv_enable` when it starts, so these stand on its command line. All else is in a file that
server.cfg executes, which can be exchanged while the game runs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from left4me.core import secrets
from servers.gamehost import rcon
from servers.hosts import this_host
from servers.hosts.rpc import Reply
from servers.hosts.start_parts import StartPart
from servers.models import Server
from servers.plugins import inventory
from servers.sourcetv.options import Options

logger = logging.getLogger(__name__)

TASK: Final = "servers.apply_sourcetv"
FILE: Final = "left4dead2/cfg/left4me_sourcetv.cfg"
_EXEC: Final = "exec left4me_sourcetv"
# The game is sold with a SourceTV that does not work; this extension of SourceMod repairs it.
_SUPPORT: Final = "left4dead2/addons/sourcetvsupport"


def for_start(server: Server, layers: Sequence[Path]) -> StartPart:
    """What a start needs for SourceTV; nothing where it is off. `layers` are the directories of the overlays."""
    options = Options.of(server.sourcetv)
    if not options.is_enabled:
        return StartPart()
    # Spectators need the broadcast, which keeps the stock game from reaching Steam.
    broadcasts = options.spectators and has_support(layers)
    return StartPart(
        arguments=("+tv_enable", "1", *(("-hltv",) if broadcasts else ())),
        replaceable={FILE: render(options)},
        lines=[_EXEC],
    )


def render(options: Options) -> str:
    """The text of the file."""
    values: dict[str, object] = {
        "tv_enable": int(options.is_enabled),
        "tv_autorecord": int(options.is_enabled and options.records),
        "tv_delay": options.delay,
        "tv_maxclients": options.spectators,
        "tv_password": f'"{options.password}"',
    }
    lines = ["// Written by left4me. Change it on the page Demos of the server."]
    return "\n".join([*lines, *(f"{name} {value}" for name, value in values.items())]) + "\n"


def has_support(layers: Iterable[Path]) -> bool:
    """Whether one of these directories brings the extension without which the game makes no usable demos."""
    return any((layer / _SUPPORT).is_dir() for layer in layers)


def apply(server_id: int) -> None:
    """Have a running game take over the options of its row, if its start has linked the file."""
    server = Server.objects.running().filter(pk=server_id).first()
    directory = this_host.storage().of(server_id)
    if server is None or not directory.has_replaceable(FILE):
        return
    options = Options.of(server.sourcetv)
    directory.write_replaceable({FILE: render(options)})
    tell(server, _EXEC if options.is_enabled and options.records else f"{_EXEC};tv_stoprecord")


def tell(server: Server, command: str) -> bool:
    """Give a running game a command; returns whether it answered. It executes the file at its next map anyway."""
    try:
        this_host.ask_game(server, command)
    except (rcon.RconError, secrets.Unreadable) as fault:
        logger.info("Server %s was not told “%s”: %s", server.pk, command, fault)
        return False
    return True


def answer(*, server: int) -> Reply | None:
    """What a page asks the host: whether the next start has the extension."""
    row = Server.objects.select_related("blueprint").filter(pk=server).first()
    return None if row is None else Reply({"has_support": has_support(layer.path for layer in inventory.layers(row))})
