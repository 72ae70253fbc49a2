"""The release of this installation, and which of two releases is the older one. Hosts report theirs."""

from __future__ import annotations

import re
from pathlib import Path

PROJECT_VERSION = "0.1.0"

# As the installer names releases: the day of the commit and the beginning of its hash.
_DATED = re.compile(r"(\d{8})-[0-9a-f]+")
_NUMBERED = re.compile(r"\d+(\.\d+)*")


def release_of(tree: Path) -> str:
    """The release in an installed tree's file RELEASE; the project's version for a checkout, which has none."""
    try:
        return (tree / "RELEASE").read_text().strip() or PROJECT_VERSION
    except OSError:
        return PROJECT_VERSION


VERSION = release_of(Path(__file__).resolve().parents[2])


def is_older(release: str, *, than: str) -> bool:
    """Whether `release` is certainly older; unknown for names of different kinds and within one day."""
    dated = _DATED.fullmatch(release), _DATED.fullmatch(than)
    if dated[0] and dated[1]:
        return dated[0][1] < dated[1][1]
    if _NUMBERED.fullmatch(release) and _NUMBERED.fullmatch(than):
        return _numbers(release) < _numbers(than)
    return False


def _numbers(release: str) -> list[int]:
    return [int(part) for part in release.split(".")]
