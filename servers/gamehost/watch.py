"""Progress and cancellation for long runtime operations."""

from __future__ import annotations

from typing import Protocol


class Watch(Protocol):
    """Receives progress and log lines of a long operation, and cancels it. A job's context implements it."""

    def progress(self, *, phase: str, done: int, total: int | None = None, unit: str = "") -> None: ...

    def log(self, line: str) -> None: ...

    def cancelled(self) -> bool: ...
