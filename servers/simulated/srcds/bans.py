"""Banned people and addresses, with their files."""

from __future__ import annotations

from .clock import Clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class Bans:
    """Keys (Steam ids or addresses) with the game time their ban ends, None for ever."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[str, float | None] = {}

    def add(self, key: str, minutes: float) -> None:
        self._until[key] = self._clock.now() + minutes * 60 if minutes > 0 else None

    def remove(self, key: str) -> bool:
        return self._until.pop(key, self) is not self

    def holds(self, key: str) -> bool:
        if key not in self._until:
            return False
        until = self._until[key]
        if until is not None and until <= self._clock.now():
            del self._until[key]
            return False
        return True

    def rows(self) -> Iterator[tuple[str, float | None]]:
        """Keys in force with the minutes left, None for ever."""
        for key in list(self._until):
            if self.holds(key):
                until = self._until[key]
                yield key, None if until is None else (until - self._clock.now()) / 60

    def permanent(self) -> list[str]:
        return [key for key, left in self.rows() if left is None]
