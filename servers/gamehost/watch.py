"""Progress and cancellation for long runtime operations."""

from __future__ import annotations

from typing import Protocol


class Watch(Protocol):
    """Given by the caller of long work; a running job fits as it is."""

    def progress(self, *, phase: str, done: int, total: int | None = None, unit: str = "") -> None: ...

    def log(self, line: str) -> None: ...

    def cancelled(self) -> bool: ...
