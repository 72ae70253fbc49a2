"""Which of two releases is the older one, as far as their names tell."""

from __future__ import annotations

import re

# As the installer names them: the day of the commit and its beginning.
_DATED = re.compile(r"(\d{8})-[0-9a-f]+")
_NUMBERED = re.compile(r"\d+(\.\d+)*")


def is_older(release: str, *, than: str) -> bool:
    """Whether `release` is certainly older: not between names of different kinds, nor within one day."""
    dated = _DATED.fullmatch(release), _DATED.fullmatch(than)
    if dated[0] and dated[1]:
        return dated[0][1] < dated[1][1]
    if _NUMBERED.fullmatch(release) and _NUMBERED.fullmatch(than):
        return _numbers(release) < _numbers(than)
    return False


def _numbers(release: str) -> list[int]:
    return [int(part) for part in release.split(".")]
