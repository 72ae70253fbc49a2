"""Shadows: files in a server's writable layer that hide a file of the game or of an overlay.

The kernel copies a file into the writable layer when a game opens it for writing. From then on the server has its own
copy, and later versions of the original have no effect on it. A mark of deletion hides a file or a whole folder as
well, and so does a folder that the game deleted and made again.

The content of the writable layer and of overlays is untrusted: everything is reached by handles, and a game that
makes any number of files, or huge ones, costs no more than the bounds below. `servers.gamehost.copies` changes what
this finds.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from left4me.core.files import walk

MOST_FOUND: Final = 10_000
# So many names of the writable layer are looked at.
_MOST_LOOKED_AT: Final = 500_000
_DEEPEST: Final = 64
_PIECE: Final = 1024**2
# So many bytes are compared; then, and for larger files, only sizes and times are.
_MOST_COMPARED: Final = 256 * 1024**2
_OPAQUE: Final = "user.overlay.opaque"
# What `datetime` takes: a game may set any time.
_LATEST: Final = 253_402_300_799.0

Parts = tuple[str, ...]
# The size and the time of a file, by which it is known again.
Identity = tuple[int, int]


class State(StrEnum):
    """How a shadow differs from what it hides; what matters most comes first."""

    OUTDATED = "outdated"  # the original has changed since the copy was made or changed
    FOLDER = "folder"  # the server made the folder anew, which hides all that is below the original
    DELETED = "deleted"  # the server deleted the file or folder
    CHANGED = "changed"  # the server changed its copy later
    KEPT = "kept"  # outdated, but wanted beside the present original
    SAME = "same"


@dataclass(frozen=True, kw_only=True)
class Shadow:
    """One such file. `layer` is the index of the layer whose file it hides; times are Unix times.

    The path of a folder ends in a slash.
    """

    path: str
    layer: int
    state: State
    size: int
    changed_at: float
    original_changed_at: float
    original: Identity


def find(
    upper: Path,
    layers: Sequence[Path],
    *,
    previous_game: Path | None = None,
    besides: Collection[str] = (),
    kept: Mapping[str, Identity] | None = None,
) -> list[Shadow]:
    """The shadows below `upper`, sorted by state and path; at most MOST_FOUND.

    `layers` are those below it, the topmost first and the game last. `previous_game` is the version before the
    installed one: it tells whether an update changed a file. `besides` are paths that are left out. `kept` are the
    originals beside which copies are wanted: such a copy is not outdated before its original changes.
    """
    search = _Search(upper, layers, previous_game=previous_game, besides=besides, kept=kept or {})
    return sorted(search.run(), key=lambda shadow: (list(State).index(shadow.state), shadow.path))


class _Search:
    """One walk through the writable layer, only where a layer below has the same folder."""

    def __init__(
        self,
        upper: Path,
        layers: Sequence[Path],
        *,
        previous_game: Path | None,
        besides: Collection[str],
        kept: Mapping[str, Identity],
    ) -> None:
        self._upper, self._layers, self._previous_game = upper, layers, previous_game
        self._besides, self._kept = besides, kept
        self._looks_left, self._bytes_left = _MOST_LOOKED_AT, _MOST_COMPARED

    def run(self) -> list[Shadow]:
        found: list[Shadow] = []
        waiting: list[Parts] = [()]
        while waiting and len(found) < MOST_FOUND and self._looks_left > 0:
            for shadow, folder in self._look(waiting.pop()):
                if shadow is not None:
                    found.append(shadow)
                if folder is not None:
                    waiting.append(folder)
        return found[:MOST_FOUND]

    def _look(self, parts: Parts) -> Iterator[tuple[Shadow | None, Parts | None]]:
        """What one folder has: shadows, and folders to look into."""
        with contextlib.ExitStack() as stack:
            try:
                handle = stack.enter_context(walk.folder(self._upper, parts))
            except OSError:
                return  # gone, or made unreadable by the game
            below = [(index, at) for index, at in enumerate(_opened(self._layers, parts, stack)) if at is not None]
            if parts and is_opaque(handle) and below:
                yield self._opaque(parts, handle, *below[0]), None
            for name, status in walk.scan(handle):
                self._looks_left -= 1
                if self._looks_left < 0:
                    return
                path = (*parts, name)
                original = _topmost(name, below)
                if original is None or not name.isprintable() or "/".join(path) in self._besides:
                    continue
                if not stat.S_ISDIR(status.st_mode):
                    yield self._shadow(path, status, *original), None
                elif stat.S_ISDIR(original[1].st_mode) and len(path) < _DEEPEST:
                    yield None, path

    def _opaque(self, parts: Parts, handle: int, index: int, original: int) -> Shadow:
        status = os.fstat(original)
        return _made(parts, os.fstat(handle), status, index, state=State.FOLDER, since=status.st_mtime)

    def _shadow(self, path: Parts, status: os.stat_result, index: int, original: os.stat_result) -> Shadow:
        state, since = State.DELETED, original.st_mtime
        if not walk.is_deletion_mark(status):
            state, since = self._compare(path, status, index, original)
        return _made(path, status, original, index, state=state, since=since)

    def _compare(
        self, path: Parts, status: os.stat_result, index: int, original: os.stat_result
    ) -> tuple[State, float]:
        """How they differ, and since when the original is as it is."""
        layer, since = self._layers[index], original.st_mtime
        if self._is_same(self._upper, status, layer, original, path):
            return State.SAME, since
        known = {_identity(original)}
        is_of_before = False
        older = self._previous_game if index == len(self._layers) - 1 else None
        before = _status(older, path) if older is not None else None
        if older is not None and before is not None:
            if self._is_same(older, before, layer, original, path):
                # Installed again, not changed.
                since = min(since, before.st_mtime)
                known.add(_identity(before))
            else:
                is_of_before = self._is_same(self._upper, status, older, before, path)
        if not is_of_before and since <= status.st_mtime:
            return State.CHANGED, since
        return State.KEPT if self._kept.get("/".join(path)) in known else State.OUTDATED, since

    def _is_same(self, one: Path, status: os.stat_result, other: Path, original: os.stat_result, path: Parts) -> bool:
        if status.st_size != original.st_size or not (stat.S_ISREG(status.st_mode) and stat.S_ISREG(original.st_mode)):
            return False
        # The kernel's copy keeps the time of the original.
        if status.st_mtime_ns == original.st_mtime_ns:
            return True
        if status.st_size > self._bytes_left:
            return False
        self._bytes_left -= status.st_size
        return _has_same_content(one, other, path)


def is_opaque(folder: int) -> bool:
    """Whether nothing of the layers below shows in this folder. `folder` is a handle."""
    try:
        return os.getxattr(folder, _OPAQUE) == b"y"
    except OSError:
        return False


def set_opaque(folder: int, *, opaque: bool) -> None:
    """Raises OSError."""
    if opaque:
        os.setxattr(folder, _OPAQUE, b"y")
    else:
        os.removexattr(folder, _OPAQUE)


def _opened(layers: Sequence[Path], parts: Parts, stack: contextlib.ExitStack) -> Iterator[int | None]:
    """A handle on the folder in each layer; None where a layer has none."""
    for layer in layers:
        try:
            yield stack.enter_context(walk.folder(layer, parts))
        except OSError:
            yield None


def _topmost(name: str, below: Sequence[tuple[int, int]]) -> tuple[int, os.stat_result] | None:
    for index, handle in below:
        if (status := walk.status(name, at=handle)) is not None:
            return index, status
    return None


def _made(
    path: Parts, status: os.stat_result, original: os.stat_result, index: int, *, state: State, since: float
) -> Shadow:
    is_gone = state in {State.DELETED, State.FOLDER}
    return Shadow(
        path="/".join(path) + ("/" if is_gone and stat.S_ISDIR(original.st_mode) else ""),
        layer=index,
        state=state,
        size=0 if is_gone else status.st_size,
        changed_at=_clamped(status.st_mtime),
        original_changed_at=_clamped(since),
        original=_identity(original),
    )


def _clamped(time: float) -> float:
    return min(max(time, 0.0), _LATEST)


def _identity(status: os.stat_result) -> Identity:
    return status.st_size, status.st_mtime_ns


def _status(root: Path, path: Parts) -> os.stat_result | None:
    try:
        with walk.folder(root, path[:-1]) as handle:
            return walk.status(path[-1], at=handle)
    except OSError:
        return None


def _has_same_content(one: Path, other: Path, path: Parts) -> bool:
    try:
        with walk.open_below(one, path) as first, walk.open_below(other, path) as second:
            while piece := first.read(_PIECE):
                if piece != second.read(_PIECE):
                    return False
            return not second.read(1)
    except OSError:
        return False
