"""Output and logs of the server: stdout unbuffered, console.log with -condebug, log files after `log on`."""

from __future__ import annotations

import contextlib
import os
import time

from .clock import Timers
from .cvars import Cvars
from .players import Player


def encoded(text: str) -> bytes:
    """Console text as bytes; bytes of a file that are not UTF-8 come out as they went in."""
    return text.encode("utf-8", "surrogateescape")


class Log:
    """The console's output, and the stack of readers (RCON) that take it instead of stdout."""

    def __init__(self, timers: Timers, cvars: Cvars, *, condebug: bool) -> None:
        self._timers = timers
        self._cvars = cvars
        self._console = self._opened("left4dead2/console.log") if condebug else None
        self._file: int | None = None
        self._count = 0
        self.logging = False
        self.taker: list[str] | None = None

    def print(self, text: str) -> None:
        """Write console output: to the reader whose command is running, otherwise to stdout."""
        if self.taker is not None:
            self.taker.append(text)
        else:
            self._write(text)

    def event(self, text: str) -> None:
        """A line of the server log, stamped with the simulated date.

        With `log on` and sv_logecho 1 it also lands in the answer of the RCON command that caused it.
        """
        when = time.strftime("%m/%d/%Y - %H:%M:%S", time.gmtime(self._timers.clock.wall(self._timers.now())))
        line = f"L {when}: {text}\n"
        self._write(line)
        if self.logging:
            if self._file is not None and self._cvars.on("sv_logfile"):
                _write_all(self._file, encoded(line))
            if self.taker is not None and self._cvars.on("sv_logecho"):
                self.taker.append(line)

    def start_logging(self) -> None:
        self.logging = True
        if self._file is None:
            day = time.strftime("%m%d", time.gmtime(self._timers.clock.wall(self._timers.now())))
            directory = "left4dead2/" + (self._cvars.text("sv_logsdir") or "logs")
            with contextlib.suppress(OSError):
                os.makedirs(directory, exist_ok=True)
            self._file = self._opened(f"{directory}/L{day}{self._count:03d}.log")
            self._count += 1

    def stop_logging(self) -> None:
        self.logging = False
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _opened(self, path: str) -> int | None:
        try:
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError:
            return None

    def _write(self, text: str) -> None:
        data = encoded(text)
        _write_all(1, data)
        if self._console is not None:
            _write_all(self._console, data)


class Record:
    """The simulation's own account of joins, leaves and map changes, one JSON object a line once a file is named.

    Tests compare a recorded history with it.
    """

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


def _write_all(fd: int, data: bytes) -> None:
    """Unbuffered, so that a crash loses nothing. A reader that went away must not end the game."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except OSError:
            return
