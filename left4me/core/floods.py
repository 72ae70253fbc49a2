"""What the flood rules of a machine and the application both know: the limits, and where the counters are.

Root loads the rules (`left4me-firewall.service`) and writes the counters to a file that the application reads.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

COUNTERS_FILE: Final = Path("/run/left4me-firewall/counters.json")


@dataclass(frozen=True)
class Number:
    """A limit: the setting that changes it, its default, and what it may be set to."""

    setting: str
    default: int
    least: int
    most: int

    @property
    def bounds(self) -> dict[str, int]:
        return {"default": self.default, "least": self.least, "most": self.most}


# Queries, connection requests and packets of nobody's game, each: a second, from one address to one server.
REQUESTS: Final = Number("LEFT4ME_FLOOD_REQUESTS", 10, 1, 10_000)
# The same from all addresses together.
REQUESTS_IN_ALL: Final = Number("LEFT4ME_FLOOD_REQUESTS_IN_ALL", 200, 10, 100_000)
# Packets a second of one player in a game.
PACKETS: Final = Number("LEFT4ME_FLOOD_PACKETS", 500, 200, 100_000)
SWITCH: Final = "LEFT4ME_FLOOD_LIMITS"


def read(file: Path) -> tuple[dict[str, int], float]:
    """The packets of each counter in the file, and when they were written; empty where there are none."""
    malformed = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
    with contextlib.suppress(OSError, *malformed):
        written_at = file.stat().st_mtime
        listed = json.loads(file.read_text() or "{}").get("nftables", [])
        found = [each["counter"] for each in listed if "counter" in each]
        return {str(each["name"]): int(each["packets"]) for each in found}, written_at
    return {}, 0.0
