"""Shadows: files in a server's writable layer that hide a file of the game or of an overlay.

The kernel copies a file into the writable layer when a game opens it for writing. From then on the server has its own
copy, and later versions of the original have no effect on it. A mark of deletion hides a file as well.

The content of the writable layer and of overlays is untrusted: everything is reached by handles. What changes it may
be called only while no game of the server runs.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Final

from left4me.core.files import walk
from servers.gamehost.directory import ServerDirectory

# So many are found at most: a hostile game can make any number.
MOST_FOUND: Final = 1_000
_DEEPEST: Final = 64
_PIECE: Final = 1024**2
# Files whose contents are compared; of larger ones only sizes and times are.
_LARGEST_COMPARED: Final = 64 * 1024**2


class State(StrEnum):
    """How a shadow differs from what it hides."""

    OUTDATED = "outdated"  # the original has changed since the copy was made or changed
    CHANGED = "changed"  # the server changed its copy later
    DELETED = "deleted"  # the server deleted the file
    SAME = "same"


@dataclass(frozen=True, kw_only=True)
class Shadow:
    """One such file. `layer` is the index of the layer whose file it hides; times are Unix times."""

    path: str
    layer: int
    state: State
    size: int
    changed_at: float
    original_changed_at: float


def find(
    upper: Path, layers: Sequence[Path], *, previous_game: Path | None = None, besides: Collection[str] = ()
) -> list[Shadow]:
    """The shadows below `upper`, sorted by path.

    `layers` are those below it, the topmost first and the game last. `previous_game` is the version before the
    installed one: it tells whether an update changed a file. `besides` are paths that are left out.
    """
    found: list[Shadow] = []
    waiting: list[tuple[str, ...]] = [()]
    while waiting and len(found) < MOST_FOUND:
        parts = waiting.pop()
        below = [walk.statuses(layer, parts) for layer in layers]
        for name, status in walk.statuses(upper, parts).items():
            path = (*parts, name)
            index = next((index for index, names in enumerate(below) if name in names), None)
            if index is None or "/".join(path) in besides:
                continue
            original = below[index][name]
            if not stat.S_ISDIR(status.st_mode) and not stat.S_ISDIR(original.st_mode):
                is_of_game = index == len(layers) - 1
                older = previous_game if is_of_game else None
                found.append(_shadow(path, status, original, index, upper=upper, layer=layers[index], older=older))
            elif stat.S_ISDIR(status.st_mode) and len(path) < _DEEPEST:
                waiting.append(path)
    return sorted(found[:MOST_FOUND], key=lambda shadow: shadow.path)


def _shadow(
    path: tuple[str, ...],
    status: os.stat_result,
    original: os.stat_result,
    index: int,
    *,
    upper: Path,
    layer: Path,
    older: Path | None,
) -> Shadow:
    state, since = State.DELETED, original.st_mtime
    if not walk.is_deletion_mark(status):
        state, since = _compare(path, status, original, upper=upper, layer=layer, older=older)
    return Shadow(
        path="/".join(path),
        layer=index,
        state=state,
        size=0 if state is State.DELETED else status.st_size,
        changed_at=status.st_mtime,
        original_changed_at=since,
    )


def _compare(
    path: tuple[str, ...],
    status: os.stat_result,
    original: os.stat_result,
    *,
    upper: Path,
    layer: Path,
    older: Path | None,
) -> tuple[State, float]:
    """How they differ, and since when the original is as it is."""
    if _is_same(upper, status, layer, original, path):
        return State.SAME, original.st_mtime
    since = original.st_mtime
    before = walk.statuses(older, path[:-1]).get(path[-1]) if older is not None else None
    if older is not None and before is not None:
        if _is_same(older, before, layer, original, path):
            # Installed again, not changed.
            since = min(since, before.st_mtime)
        elif _is_same(upper, status, older, before, path):
            return State.OUTDATED, since
    return State.OUTDATED if since > status.st_mtime else State.CHANGED, since


def _is_same(one: Path, status: os.stat_result, other: Path, original: os.stat_result, path: tuple[str, ...]) -> bool:
    if status.st_size != original.st_size or not (stat.S_ISREG(status.st_mode) and stat.S_ISREG(original.st_mode)):
        return False
    # The kernel's copy keeps the time of the original.
    if status.st_mtime_ns == original.st_mtime_ns:
        return True
    return status.st_size <= _LARGEST_COMPARED and _has_same_content(one, other, path)


def _has_same_content(one: Path, other: Path, path: tuple[str, ...]) -> bool:
    try:
        with walk.open_below(one, path) as first, walk.open_below(other, path) as second:
            while piece := first.read(_PIECE):
                if piece != second.read(_PIECE):
                    return False
            return not second.read(1)
    except OSError:
        return False


def set_aside(directory: ServerDirectory, paths: Collection[str]) -> int:
    """Move these shadows out of the writable layer, so that the originals appear; returns how many.

    They can be put back until `forget_aside`. Raises OSError.
    """
    directory.aside.mkdir(mode=0o700, exist_ok=True)
    for path in paths:
        *above, name = PurePosixPath(path).parts
        with (
            walk.folder(directory.upper, above) as source,
            walk.folder(directory.aside, above, make=0o700) as target,
        ):
            walk.move(name, at=source, to=target)
    with walk.folder(directory.path, ()) as handle:
        walk.touch(directory.aside.name, at=handle)
    return len(paths)


def put_back(directory: ServerDirectory) -> int:
    """Move what was set aside back where nothing has taken its place; returns how many. Raises OSError."""
    moved = 0
    for path in aside(directory):
        *above, name = PurePosixPath(path).parts
        with (
            walk.folder(directory.upper, above, make=0o755) as target,
            walk.folder(directory.aside, above) as source,
        ):
            if walk.status(name, at=target) is None:
                walk.move(name, at=source, to=target)
                moved += 1
    shutil.rmtree(directory.aside)
    return moved


def keep(directory: ServerDirectory, paths: Collection[str]) -> int:
    """Count these copies as changed now, so that they are not outdated any more. Raises OSError."""
    for path in paths:
        *above, name = PurePosixPath(path).parts
        with walk.folder(directory.upper, above) as handle:
            walk.touch(name, at=handle)
    return len(paths)


def aside(directory: ServerDirectory) -> list[str]:
    """The paths of what was set aside."""
    return sorted(_files_below(directory.aside, ())) if directory.aside.is_dir() else []


def _files_below(top: Path, parts: tuple[str, ...]) -> Iterator[str]:
    for name, status in walk.statuses(top, parts).items():
        if stat.S_ISDIR(status.st_mode):
            yield from _files_below(top, (*parts, name))
        else:
            yield "/".join((*parts, name))


def forget_aside(directory: ServerDirectory, *, before: float) -> bool:
    """Delete what was set aside before this Unix time; returns whether there was any. Raises OSError."""
    if not directory.aside.is_dir() or directory.aside.stat().st_mtime >= before:
        return False
    shutil.rmtree(directory.aside)
    return True
