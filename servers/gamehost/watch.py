"""How long work of the runtime tells of itself and hears that it is no longer wanted."""

from __future__ import annotations

from typing import Protocol


class Cancelled(Exception):
    """The caller's `cancelled` turned true; what was done so far can be gone on with."""


class Watch(Protocol):
    """Given by the caller of long work; a running job fits as it is."""

    def progress(self, *, phase: str, done: int, total: int | None = None, unit: str = "") -> None: ...

    def log(self, line: str) -> None: ...

    def cancelled(self) -> bool: ...
