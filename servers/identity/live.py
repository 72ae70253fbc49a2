"""Has running games take over another identity, and writes it into the next start.

What the lines of a blueprint set is in server.cfg, which the game executes at every map. A game that runs takes new
values over from a file of its own, which server.cfg executes after them and which every start empties. So they hold at
the next map too, and the order of the lines decides again from the next start on. The two texts are files that the
game reads at its next map.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from django.db import transaction

from left4me.core import secrets
from left4me.core.redis import hosts, signals
from servers.gamehost import rcon
from servers.hosts import this_host
from servers.hosts.start_parts import StartPart
from servers.identity import values
from servers.models import Server

logger = logging.getLogger(__name__)

TASK: Final = "servers.apply_identity"
LIVE_CFG: Final = "left4dead2/cfg/left4me_live.cfg"
_HEAD: Final = "// Written by left4me: what was changed since the start."
_MESSAGE_SECONDS: Final = 20.0
_SHOWN: Final = re.compile(r'"(\w+)" = "([^"\n]*)"')


def for_start(server: Server, _layers: Sequence[Path]) -> StartPart:
    """The files of the texts, and the file for what is changed while the game runs."""
    texts = values.texts(server.blueprint)
    files = {path: text for name, text in texts.items() for path in values.FILES[name]}
    return StartPart(replaceable={**files, LIVE_CFG: f"{_HEAD}\n"}, lines=["exec left4me_live"])


def request(servers: Iterable[Server]) -> None:
    """Have the hosts of these servers apply their identity to the games that run, after the commit."""
    running = Server.objects.filter(pk__in=[server.pk for server in servers]).running()
    for name, pk in running.values_list("host__name", "pk"):
        hosts.send_after_commit(name, TASK, pk, expires=_MESSAGE_SECONDS)


def apply(server_id: int) -> None:
    """Have a running game take over the values of its rows, and store those that it then has."""
    server = Server.objects.select_related("blueprint").filter(pk=server_id).first()
    if server is None or server.actual_state != Server.State.RUNNING or server.applied is None:
        return
    directory = this_host.storage().of(server.pk)
    for name, text in values.texts(server.blueprint).items():
        directory.write_replaceable({path: text for path in values.FILES[name] if directory.has_replaceable(path)})
    applied = values.complete(server.applied)
    present = values.running(applied)
    new = {
        name: value for name, value in values.wanted(server, server.blueprint).items() if present.get(name) != value
    }
    # A game that an older release started does not read the file: its values would be gone at the next map.
    if not new or not directory.has_replaceable(LIVE_CFG):
        return
    live = {**applied.get("live", {}), **new}
    directory.write_replaceable({LIVE_CFG: "\n".join([_HEAD, *values.as_lines(live)]) + "\n"})
    try:
        taken = _take_over(server, new)
    except (rcon.RconError, secrets.Unreadable) as fault:
        # The game executes the file at its next map. Until then it counts as not applied.
        logger.info("The identity of server %s was written, but not executed: %s", server.pk, fault)
        return
    _record(server, taken)


def _take_over(server: Server, new: Mapping[str, str]) -> dict[str, str]:
    """Execute the file, and return those of the new values that the game then has."""
    this_host.ask_game(server, "exec left4me_live")
    shown = {name.lower(): value for name, value in _SHOWN.findall(this_host.ask_game(server, "; ".join(new)))}
    return {name: value for name, value in new.items() if shown.get(name) == value}


@transaction.atomic
def _record(server: Server, taken: Mapping[str, str]) -> None:
    started = Server.objects.filter(pk=server.pk, started_at=server.started_at)
    row = started.select_for_update(of=("self",)).first()
    if row is None or row.applied is None:
        return
    applied = values.complete(row.applied)
    row.applied = {**applied, "live": {**applied.get("live", {}), **taken}}
    row.save(update_fields=["applied"])
    signals.send_after_commit(row.resource)
