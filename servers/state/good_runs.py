"""Knows which runs of games went well.

A run went well if nothing crashed or hung in it, and the game was ended, after at least ten minutes: by a user, a
schedule, a restart, or with its machine.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from servers.models import GameRun, Server

WELL_AFTER: Final = timedelta(minutes=10)
_ENDED: Final = (Server.State.STOPPING, Server.State.STOPPED)


def note_end(server: Server, state: Server.State, *, now: datetime) -> None:
    """Note that the present run went well, if it ends with this change of a server's state."""
    if server.actual_state != Server.State.RUNNING or state not in _ENDED or server.hung_since is not None:
        return
    run = newest(server)
    if run is None or server.started_at is None or now - server.started_at < WELL_AFTER:
        return
    if not server.state_changes.filter(state__in=Server.ENDED_BADLY, at__gte=run.started_at).exists():
        GameRun.objects.filter(pk=run.pk).update(ended_well_at=now)


def newest(server: Server) -> GameRun | None:
    return server.game_runs.first()


def last_good(server: Server) -> GameRun | None:
    return server.game_runs.filter(ended_well_at__isnull=False).first()
