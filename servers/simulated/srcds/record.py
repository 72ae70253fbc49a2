"""The simulation's own account of what happened, one JSON object a line, for tests to compare a history with."""

from __future__ import annotations

import contextlib
import os
import time

from .clock import Timers
from .players import Player


class Record:
    """Writes joins, leaves and map changes to a file once one is named."""

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        self._file: int | None = None

    def open(self, path: str) -> bool:
        with contextlib.suppress(OSError):
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            return True
        return False

    def write(self, event: str, **details: object) -> None:
        if self._file is None:
            return
        # Most instances never record, and json costs a megabyte.
        import json

        at = self._timers.clock.wall(self._timers.now())
        row = {"event": event, "at": round(at, 3), "real_at": round(time.time(), 3), **details}
        with contextlib.suppress(OSError):
            os.write(self._file, json.dumps(row).encode() + b"\n")

    def player(self, event: str, player: Player, **details: object) -> None:
        who = {"userid": player.userid, "name": player.name, "steam_id_64": str(player.steam_id_64)}
        self.write(event, **who, **details)
