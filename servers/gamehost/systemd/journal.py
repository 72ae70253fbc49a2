"""Reads the log of a unit from the journal, as JSON with cursors."""

from __future__ import annotations

import contextlib
import json
import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from left4me.core.concurrency import Cancelled
from left4me.core.processes import commands
from servers.gamehost.port import LogLine, RuntimeFault

_READ_SECONDS: Final = 30
_FOLLOW_SECONDS: Final = 7 * 86_400
_MOST_IN_A_BATCH: Final = 2_000
# Of a flood that nobody reads in time, only the newest lines would be shown anyway.
_MOST_UNREAD: Final = 20_000
_ARGV: Final = ("journalctl", "--no-pager", "--quiet", "--output=json", "--output-fields=MESSAGE")
# By itself --follow shows the present boot only. In a container, a unit with a /proc of its own reads the wrong boot
# id and would follow nothing, without an error.
_FOLLOW: Final = (*_ARGV, "--follow", "--merge")


def tail(unit: str, lines: int) -> list[LogLine]:
    """The last `lines`, oldest first. Raises CommandError."""
    log_lines: list[LogLine] = []
    argv = [*_ARGV, f"--lines={lines}", f"--unit={unit}"]
    commands.run(argv, timeout=_READ_SECONDS, on_line=lambda raw: _take(raw, log_lines))
    return log_lines


class Follower:
    """Reads the log of a unit on, by a journalctl that a thread of its own listens to; see the port."""

    def __init__(self, unit: str, *, cursor: str | None, on_news: Callable[[], None]) -> None:
        self._on_news = on_news
        self._closed = threading.Event()
        self._unread: deque[LogLine] = deque(maxlen=_MOST_UNREAD)
        self._fault: commands.CommandError | None = None
        threading.Thread(target=self._listen, args=[unit, cursor], name=f"journal-{unit}", daemon=True).start()

    def read(self) -> list[LogLine]:
        if self._fault is not None:
            raise RuntimeFault(f"the journal cannot be followed: {self._fault}") from self._fault
        return [self._unread.popleft() for _ in range(len(self._unread))]

    def close(self) -> None:
        self._closed.set()

    def _listen(self, unit: str, cursor: str | None) -> None:
        try:
            _follow(unit, cursor=cursor, on_lines=self._take, cancelled=self._closed.is_set)
        except commands.CommandError as error:
            self._fault = error

    def _take(self, lines: list[LogLine]) -> None:
        self._unread += lines
        self._on_news()


def _follow(
    unit: str,
    *,
    cursor: str | None,
    on_lines: Callable[[list[LogLine]], None],
    cancelled: Callable[[], bool],
) -> None:
    """Pass on new lines until `cancelled`. Restarts journalctl if it ends."""
    while not cancelled():
        start = ["--lines=0"] if cursor is None else ["--lines=all", f"--after-cursor={cursor}"]
        last = _follow_once([*_FOLLOW, f"--unit={unit}", *start], on_lines, cancelled)
        if last is None and cursor is not None:
            # journalctl refuses an unknown cursor, so begin with the oldest line.
            last = _follow_once([*_FOLLOW, f"--unit={unit}", "--lines=all"], on_lines, cancelled)
        cursor = last or cursor


def _follow_once(
    argv: list[str], on_lines: Callable[[list[LogLine]], None], cancelled: Callable[[], bool]
) -> str | None:
    """Follow until cancelled or until journalctl ends. Returns the cursor of the last line."""
    batch: list[LogLine] = []
    last: str | None = None

    def pass_on() -> None:
        nonlocal last
        if batch:
            last = batch[-1].cursor
            on_lines(batch.copy())
            batch.clear()

    def on_line(raw: str) -> None:
        _take(raw, batch)
        if len(batch) >= _MOST_IN_A_BATCH:
            pass_on()

    def is_cancelled() -> bool:
        # Called once before every wait for output, which is when a batch has its full size.
        pass_on()
        return cancelled()

    with contextlib.suppress(Cancelled, commands.CommandTimedOut):
        commands.run(
            argv, timeout=_FOLLOW_SECONDS, on_line=on_line, cancelled=is_cancelled, check=False, keep_output=0
        )
    pass_on()
    return last


def _take(raw: str, lines: list[LogLine]) -> None:
    try:
        entry = json.loads(raw)
        at = datetime.fromtimestamp(int(entry["__REALTIME_TIMESTAMP"]) / 1e6, UTC)
        lines.append(LogLine(text=_text(entry.get("MESSAGE")), at=at, cursor=entry["__CURSOR"]))
    except (ValueError, KeyError, TypeError):
        return  # a message of journalctl itself between entries


def _text(message: Any) -> str:
    """The message as text. The journal gives bytes that are not UTF-8 as a list of numbers, and null for long ones."""
    if isinstance(message, list):
        return bytes(message).decode("utf-8", "replace")
    return message if isinstance(message, str) else "(a line too long for the journal)"
