"""What a long command tells while it works: one line that changes on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from typing import IO, Final

_TERMINAL_SECONDS: Final = 0.2
_LOG_SECONDS: Final = 15.0


class Progress:
    """Lines go to `out`; a reader that went away ends nothing."""

    def __init__(self, out: IO[str] | None = None, *, quiet: bool = False) -> None:
        self._out = out or sys.stdout
        self._quiet = quiet
        self._terminal = self._out.isatty()
        self._phase = ""
        self._done = self._total = 0
        self._began = self._told = time.monotonic()

    def say(self, line: str) -> None:
        if not self._quiet:
            self._write(f"{line}\n")

    def phase(self, name: str, total: int = 0) -> None:
        """A new phase begins; `total` is about how many bytes it will pass, 0 if that is unknown."""
        self.end_phase()
        self._phase, self._total, self._done = name, total, 0
        self._began = self._told = time.monotonic()
        if self._terminal and not self._quiet:
            self._write(f"\r{name}\033[K")

    def add(self, count: int) -> None:
        self._done += count
        now = time.monotonic()
        if self._quiet or now - self._told < (_TERMINAL_SECONDS if self._terminal else _LOG_SECONDS):
            return
        self._told = now
        share = f", {min(100, self._done * 100 // self._total)} %" if self._total else ""
        line = f"{self._phase}: {in_words(self._done)}{share}"
        self._write(f"\r{line}\033[K" if self._terminal else f"{line}\n")

    def end_phase(self) -> None:
        if not self._phase:
            return
        amount = f": {in_words(self._done)}" if self._done else ""
        start, end = ("\r", "\033[K\n") if self._terminal else ("", "\n")
        if not self._quiet:
            self._write(f"{start}{self._phase}{amount} ({time.monotonic() - self._began:.1f} s){end}")
        self._phase = ""

    def _write(self, text: str) -> None:
        try:
            self._out.write(text)
            self._out.flush()
        except OSError:
            # The terminal is gone: what is under way matters more than telling of it.
            self._quiet = True


def in_words(count: int) -> str:
    size = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit in ("bytes", "kB") else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
