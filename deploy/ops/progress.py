"""Progress of long commands: one line that is rewritten on a terminal, a line every 15 seconds in a log."""

from __future__ import annotations

import sys
import time
from typing import IO, Final

_TERMINAL_SECONDS: Final = 0.2
_LOG_SECONDS: Final = 15.0


class Progress:
    """Writes progress to `out`. A reader that disconnects does not end the command."""

    def __init__(self, out: IO[str] | None = None, *, quiet: bool = False) -> None:
        self._out = out or sys.stdout
        self._quiet = quiet
        self._terminal = self._out.isatty()
        self._phase = ""
        self._done = self._total = self._before = 0
        self._started_at = self._written_at = time.monotonic()

    def say(self, line: str) -> None:
        if not self._quiet:
            self._write(f"{line}\n")

    def phase(self, name: str, total: int = 0, *, before: int = 0) -> None:
        """Begin a phase. `total` is the approximate number of bytes until its end, 0 if unknown.

        `before` of them were processed by the phases before it.
        """
        self.end_phase()
        self._phase, self._total, self._before, self._done = name, total, before, 0
        self._started_at = self._written_at = time.monotonic()
        if self._terminal and not self._quiet:
            self._write(f"\r{name}\033[K")

    def add(self, count: int) -> None:
        self._done += count
        now = time.monotonic()
        if self._quiet or now - self._written_at < (_TERMINAL_SECONDS if self._terminal else _LOG_SECONDS):
            return
        self._written_at = now
        share = f", {min(100, (self._before + self._done) * 100 // self._total)} %" if self._total else ""
        line = f"{self._phase}: {readable_size(self._done)}{share}"
        self._write(f"\r{line}\033[K" if self._terminal else f"{line}\n")

    def end_phase(self) -> None:
        if not self._phase:
            return
        amount = f": {readable_size(self._done)}" if self._done else ""
        start, end = ("\r", "\033[K\n") if self._terminal else ("", "\n")
        if not self._quiet:
            self._write(f"{start}{self._phase}{amount} ({time.monotonic() - self._started_at:.1f} s){end}")
        self._phase = ""

    def _write(self, text: str) -> None:
        try:
            self._out.write(text)
            self._out.flush()
        except OSError:
            # The terminal is gone. The work goes on without output.
            self._quiet = True


def readable_size(count: int) -> str:
    """Format a number of bytes, as in "1.5 GB"."""
    size = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit in ("bytes", "kB") else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
