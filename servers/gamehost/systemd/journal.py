"""The log of a unit in the journal, read as JSON with its cursors."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from left4me.core.concurrency import Cancelled
from left4me.core.processes import commands
from servers.gamehost.port import LogLine

_READ_SECONDS: Final = 30
_FOLLOW_SECONDS: Final = 7 * 86_400
_MOST_IN_A_BATCH: Final = 2_000
_ARGV: Final = ("journalctl", "--no-pager", "--quiet", "--output=json", "--output-fields=MESSAGE")
# By itself --follow keeps to the present boot, whose id a unit with a /proc of its own reads wrongly in a container:
# it would follow nothing, and say nothing.
_FOLLOW: Final = (*_ARGV, "--follow", "--merge")


def tail(unit: str, lines: int) -> list[LogLine]:
    """The last `lines`, oldest first. Raises CommandError."""
    found: list[LogLine] = []
    argv = [*_ARGV, f"--lines={lines}", f"--unit={unit}"]
    commands.run(argv, timeout=_READ_SECONDS, on_line=lambda raw: _take(raw, found))
    return found


def follow(
    unit: str,
    *,
    cursor: str | None,
    on_lines: Callable[[list[LogLine]], None],
    cancelled: Callable[[], bool],
) -> None:
    """Hand on new lines until `cancelled`; see the port. Starts journalctl again should it end."""
    while not cancelled():
        start = ["--lines=0"] if cursor is None else ["--lines=all", f"--after-cursor={cursor}"]
        last = _follow_once([*_FOLLOW, f"--unit={unit}", *start], on_lines, cancelled)
        if last is None and cursor is not None:
            # journalctl refuses a cursor that it does not know, so take what there is from the oldest on.
            last = _follow_once([*_FOLLOW, f"--unit={unit}", "--lines=all"], on_lines, cancelled)
        cursor = last or cursor


def _follow_once(
    argv: list[str], on_lines: Callable[[list[LogLine]], None], cancelled: Callable[[], bool]
) -> str | None:
    """Follow until cancelled or until journalctl ends; returns the cursor of the last line seen."""
    batch: list[LogLine] = []
    last: str | None = None

    def hand_on() -> None:
        nonlocal last
        if batch:
            last = batch[-1].cursor
            on_lines(batch.copy())
            batch.clear()

    def on_line(raw: str) -> None:
        _take(raw, batch)
        if len(batch) >= _MOST_IN_A_BATCH:
            hand_on()

    def looked_after() -> bool:
        # Asked once before every wait for output, which is when a batch is as large as it will get.
        hand_on()
        return cancelled()

    with contextlib.suppress(Cancelled, commands.CommandTimedOut):
        commands.run(
            argv, timeout=_FOLLOW_SECONDS, on_line=on_line, cancelled=looked_after, check=False, keep_output=0
        )
    hand_on()
    return last


def _take(raw: str, lines: list[LogLine]) -> None:
    try:
        entry = json.loads(raw)
        at = datetime.fromtimestamp(int(entry["__REALTIME_TIMESTAMP"]) / 1e6, UTC)
        lines.append(LogLine(text=_text(entry.get("MESSAGE")), at=at, cursor=entry["__CURSOR"]))
    except (ValueError, KeyError, TypeError):
        return  # journalctl's own words between entries


def _text(message: Any) -> str:
    """A text; the journal gives bytes that are not UTF-8 as a list of numbers, and null for what is too long."""
    if isinstance(message, list):
        return bytes(message).decode("utf-8", "replace")
    return message if isinstance(message, str) else "(a line too long for the journal)"
