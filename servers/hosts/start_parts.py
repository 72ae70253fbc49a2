"""What parts of the application add to every start: files, lines of server.cfg, and arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from servers.models import Server


@dataclass(frozen=True, kw_only=True)
class StartPart:
    """Files by their path below the game, and lines that server.cfg executes after those of the blueprint."""

    files: Mapping[str, str] = field(default_factory=dict)
    # Files that may be written again while the game runs.
    replaceable: Mapping[str, str] = field(default_factory=dict)
    lines: Sequence[str] = ()
    # Arguments of the launch line, before those of the blueprint.
    arguments: Sequence[str] = ()
    # Files of the layers that the game sees at another path.
    moved: Mapping[str, str] = field(default_factory=dict)


# Makes a part from the server and the directories of its overlays, the topmost first.
MakePart: TypeAlias = Callable[[Server, Sequence[Path]], StartPart]
_makers: list[MakePart] = []


def register(make: MakePart) -> None:
    """Add what `make` returns to every start. Called once by an app's `ready`."""
    _makers.append(make)


def of(server: Server, layers: Sequence[Path]) -> StartPart:
    """Everything that is added to the next start of a server."""
    parts = [make(server, layers) for make in _makers]
    return StartPart(
        files={path: text for part in parts for path, text in part.files.items()},
        replaceable={path: text for part in parts for path, text in part.replaceable.items()},
        lines=[line for part in parts for line in part.lines],
        arguments=[argument for part in parts for argument in part.arguments],
        moved={old: new for part in parts for old, new in part.moved.items()},
    )
