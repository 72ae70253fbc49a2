"""Reads the header of a demo, which the game writes when a recording begins and again when it ends.

The format is described at https://developer.valvesoftware.com/wiki/DEM_(file_format). A demo is written by the game
and so untrusted: only the header is read, whose length is fixed, and every value in it is checked.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import BinaryIO, Final

MAGIC: Final = b"HL2DEMO\0"
# The two protocols; the names of the server, the client, the map and the game; seconds, ticks, frames; and the length
# of what comes before the first tick.
FORM: Final = struct.Struct("<8sii260s260s260s260sfiii")
LONGEST_NAME: Final = 100
# Longer than any map is played: what claims more is damaged.
_LONGEST: Final = 7 * 24 * 3600.0


class NotADemo(ValueError):
    """The file is no demo, or is cut off before its header ends."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a header tells. Names are printable, and cut."""

    network_protocol: int  # of the version of the game that can play it
    server: str
    client: str
    map: str
    game: str
    # 0 while it is recorded, and in one whose game was killed.
    seconds: float
    ticks: int

    @property
    def is_complete(self) -> bool:
        return self.seconds > 0 and self.ticks > 0


def read(file: BinaryIO) -> Header:
    """Read a header from the present place of a file. Raises NotADemo and OSError."""
    data = file.read(FORM.size)
    if not data.startswith(MAGIC):
        raise NotADemo("it does not begin as a demo does")
    if len(data) < FORM.size:
        raise NotADemo("its header is incomplete")
    _magic, _protocol, network, server, client, map_, game, seconds, ticks, _frames, _signon = FORM.unpack(data)
    is_length = math.isfinite(seconds) and 0 <= seconds <= _LONGEST and ticks >= 0
    return Header(
        network_protocol=max(0, network),
        server=_name(server),
        client=_name(client),
        map=_name(map_),
        game=_name(game),
        seconds=round(seconds, 3) if is_length else 0.0,
        ticks=ticks if is_length else 0,
    )


def _name(raw: bytes) -> str:
    text = raw.partition(b"\0")[0].decode("utf-8", "replace")
    return "".join(each if each.isprintable() else "?" for each in text[:LONGEST_NAME])
