"""The script with which every game starts, so that it tells of votes and of the end of a campaign."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Final

from left4me.core.files import walk
from servers.hosts.start_parts import StartPart
from servers.models import Server

# The game runs a script of this name of every addon, and the one in its own folder.
SCRIPT: Final = PurePosixPath("left4dead2/scripts/vscripts/director_base_addon.nut")
_LARGEST: Final = 1024 * 1024


def make(server: Server, layers: Sequence[Path]) -> StartPart:
    """The script, after that of the topmost overlay with a file of the same name, which would be hidden otherwise."""
    theirs = _of_layers(layers)
    try:
        before = theirs.decode() if theirs else ""
    except UnicodeDecodeError:
        # Written back in another encoding, it might do something else. The game then tells nothing.
        return StartPart()
    return StartPart(files={str(SCRIPT): f"{before}\n{script()}" if before else script()})


@cache
def script() -> str:
    return Path(__file__).with_name("events.nut").read_text()


def _of_layers(layers: Sequence[Path]) -> bytes:
    for tree in layers:
        try:
            with walk.open_below(tree, SCRIPT.parts) as stream:
                return stream.read(_LARGEST)
        except OSError:
            continue
    return b""
