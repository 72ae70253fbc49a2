"""Cleans lines of output before they are stored: control characters removed, secrets masked, length limited."""

from __future__ import annotations

import re
from collections.abc import Iterable

from left4me.core.logbook import MASK
from left4me.jobs.models import LONGEST_LINE

# Masking shorter words would make ordinary text unreadable.
_SHORTEST_SECRET = 3

# Terminal sequences (colours, cursor movements, window titles), then single control characters; also marks that change
# the text direction, with which a line could imitate another.
_TERMINAL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-Z\\-_]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class Masker:
    """Replaces secrets by a mask. `add` is thread-safe: it replaces the whole pattern."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self.add(secrets)

    def add(self, secrets: Iterable[str]) -> None:
        self._secrets |= {s for s in secrets if len(s) >= _SHORTEST_SECRET}
        if self._secrets:
            # Longest first: one secret may be a prefix of another.
            longest_first = sorted(self._secrets, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def __call__(self, text: str) -> str:
        return self._pattern.sub(MASK, text) if self._pattern is not None else text


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
