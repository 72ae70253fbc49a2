from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

Level = Literal["ok", "warning", "fault"]


@dataclass(frozen=True)
class Finding:
    """What one check saw. A `warning` costs a feature, a `fault` keeps left4me from working."""

    check: str
    level: Level
    message: str
    cure: str = ""

    def as_json(self) -> dict[str, str]:
        return asdict(self)


def ok(check: str, message: str) -> Finding:
    return Finding(check, "ok", message)


def warning(check: str, message: str, cure: str) -> Finding:
    return Finding(check, "warning", message, cure)


def fault(check: str, message: str, cure: str) -> Finding:
    return Finding(check, "fault", message, cure)
