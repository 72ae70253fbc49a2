"""Masks secrets in texts that others may read: the output of programs, of games and of their consoles."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

MASK: Final = "•••"

# Masking shorter words would make ordinary text unreadable.
_SHORTEST_SECRET: Final = 3
# A text may end within a secret. Fewer characters of it than these stay in the text.
_SHORTEST_PART: Final = 4


class Masker:
    """Replaces secrets by a mask. `add` is thread-safe: it replaces the whole pattern."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self._bytes_pattern: re.Pattern[bytes] | None = None
        self.add(secrets)

    def add(self, secrets: Iterable[str]) -> None:
        self._secrets |= {s for s in secrets if len(s) >= _SHORTEST_SECRET}
        if self._secrets:
            # Longest first: one secret may be a prefix of another.
            longest_first = sorted(self._secrets, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))
            self._bytes_pattern = re.compile(b"|".join(re.escape(secret.encode()) for secret in longest_first))

    @property
    def longest(self) -> int:
        """The length of the longest secret, in bytes."""
        return max((len(secret.encode()) for secret in self._secrets), default=0)

    def __call__(self, text: str) -> str:
        return self._pattern.sub(MASK, text) if self._pattern is not None else text

    def so_far(self, text: str) -> str:
        """Mask a text that goes on: a secret that has only begun at its end is left out."""
        text = self(text)
        parts = (
            secret[:length] for secret in self._secrets for length in range(len(secret) - 1, _SHORTEST_PART - 1, -1)
        )
        begun = max((len(part) for part in parts if text.endswith(part)), default=0)
        return text[: len(text) - begun]

    def in_place(self, data: bytes) -> bytes:
        """Mask bytes without changing their number, so that positions in a file stay valid."""
        if self._bytes_pattern is None:
            return data
        return self._bytes_pattern.sub(lambda found: b"*" * len(found[0]), data)
