"""Refusals of actions. A page shows the message; the API answers 409 (see left4me/api.py)."""

from __future__ import annotations

from typing import Any


class Refused(Exception):
    """The action is not possible now. The message is for the person who asked and says why."""


class Stale(Refused):
    """The row has changed since the caller read it. Nothing was written; `current` is the row as it is now."""

    def __init__(self, message: str, *, current: Any) -> None:
        self.current = current
        super().__init__(message)


class InUse(Refused):
    """The row cannot be deleted while other rows use it. `used_by` lists them, as the API names them."""

    def __init__(self, message: str, **used_by: list[dict[str, Any]]) -> None:
        self.used_by = used_by
        super().__init__(message)
