"""Cleans what programs and games print before others read it: secrets masked, control characters removed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

MASK: Final = "•••"
LONGEST_LINE: Final = 4096

# Masking shorter words would make ordinary text unreadable.
_SHORTEST_SECRET: Final = 3
# A text may end within a secret. Fewer characters of it than these stay in the text.
_SHORTEST_PART: Final = 4

# Terminal sequences (colours, cursor movements, window titles), then single control characters; also marks that change
# the text direction, with which a line could imitate another.
_TERMINAL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-Z\\-_]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


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


def clean(text: str, mask: Masker | None = None) -> str:
    """Return `text` as one line without control characters and secrets, of at most 4,096 characters."""
    if not text.isprintable():
        text = _CONTROL.sub("", _TERMINAL.sub("", text)).replace("\n", " ")
    # After the control characters, which could split a secret, and before the cut, which could leave half of one.
    if mask is not None:
        text = mask(text)
    if len(text) > LONGEST_LINE:
        left_out = f" … ({len(text)} characters)"
        text = text[: LONGEST_LINE - len(left_out)] + left_out
    return text
