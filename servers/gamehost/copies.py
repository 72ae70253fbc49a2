"""What is done with a server's own copies of files (`servers.gamehost.shadows`): set aside, put back, kept.

What is set aside together lies in one folder of `aside`, named by its time. All of this may be called only while no
game of the server runs. The content is untrusted: everything is reached by handles.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from left4me.core.files import atomic, walk
from servers.gamehost import shadows
from servers.gamehost.directory import ServerDirectory
from servers.gamehost.shadows import Shadow
from servers.gamehost.storage import MOST_KEPT, used

# The oldest are deleted early: a server could set aside what fills the disk, one time after the other.
MOST_BATCHES: Final = 20


@dataclass(frozen=True)
class PutBack:
    """How many copies are in their places again, and how many are not, because something else is there now."""

    done: int
    left: int


def set_aside(directory: ServerDirectory, paths: Collection[str], *, now: float) -> int:
    """Move these shadows out of the writable layer, so that the originals appear; returns how many.

    They can be put back until `forget_aside`. Raises OSError.
    """
    if not paths:
        return 0
    batch = directory.aside / f"{now:.6f}"
    directory.aside.mkdir(mode=0o700, exist_ok=True)
    batch.mkdir(mode=0o700, exist_ok=True)
    for path in paths:
        *above, name = PurePosixPath(path).parts
        with walk.folder(directory.upper, above) as source, _same_folder(batch, directory.upper, above) as target:
            status = walk.status(name, at=source)
            if status is not None and stat.S_ISDIR(status.st_mode):
                with walk.folder(source, (name,)) as opaque, _same_folder(target, source, (name,)) as marked:
                    shadows.set_opaque(marked, opaque=True)
                    shadows.set_opaque(opaque, opaque=False)
            else:
                walk.move(name, at=source, to=target)
    _bound(directory)
    return len(paths)


@contextlib.contextmanager
def _same_folder(root: Path | int, like: Path | int, parts: Collection[str]) -> Iterator[int]:
    """The folder `parts` below `root`, made where it is missing, of the same owner as the one below `like`."""
    with contextlib.ExitStack() as stack:
        made = stack.enter_context(walk.folder(root, ()))
        other = stack.enter_context(walk.folder(like, ()))
        for part in parts:
            made = stack.enter_context(walk.folder(made, (part,), make=0o700))
            other = stack.enter_context(walk.folder(other, (part,)))
            status = os.fstat(other)
            if os.geteuid() == 0:
                os.fchown(made, status.st_uid, status.st_gid)
            os.fchmod(made, stat.S_IMODE(status.st_mode) | stat.S_IRWXU)
        yield made


def _bound(directory: ServerDirectory) -> None:
    """Delete the oldest of what was set aside, when it is too much; never the newest."""
    batches = _batches(directory)
    held = 0
    for number, batch in enumerate(batches):
        held += used(batch).size
        if number and (number >= MOST_BATCHES or held > MOST_KEPT):
            shutil.rmtree(batch)


def put_back(directory: ServerDirectory, *, only: Collection[str] | None = None) -> PutBack:
    """Move what was set aside, or of it `only` these paths, back where nothing has taken its place, the newest first.

    Raises OSError.
    """
    done = left = 0
    for batch in _batches(directory):
        put = _put_back(directory.upper, batch, only)
        done, left = done + put.done, left + put.left
        if not _count(batch):
            shutil.rmtree(batch, ignore_errors=True)  # only empty folders
    return PutBack(done, left)


def _put_back(upper: Path, batch: Path, only: Collection[str] | None) -> PutBack:
    done = left = 0
    meant = None if only is None else {path.removesuffix("/") for path in only}
    on_the_way = {str(above) for path in meant or () for above in PurePosixPath(path).parents}
    for parts, name, status in _walk(batch):
        path = "/".join((*parts, name))
        is_folder, is_meant = stat.S_ISDIR(status.st_mode), meant is None or path in meant
        if not (is_meant or (is_folder and path in on_the_way)):
            continue
        try:
            with walk.folder(batch, parts) as source, walk.folder(upper, parts) as target:
                is_back: bool | None
                if is_folder:
                    is_back = _put_folder_back(name, source, target, with_mark=is_meant)
                else:
                    is_back = _put_file_back(name, source, target)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            is_back = None if is_folder else False
        done, left = done + (is_back is True), left + (is_back is False)
    return PutBack(done, left)


def _put_file_back(name: str, source: int, target: int) -> bool:
    if walk.status(name, at=target) is not None:
        return False
    walk.move(name, at=source, to=target)
    return True


def _put_folder_back(name: str, source: int, target: int, *, with_mark: bool) -> bool | None:
    """Make the folder where it is missing; `with_mark`, let it hide what it hid. Return True if it hides something."""
    if walk.status(name, at=target) is None:
        with _same_folder(target, source, (name,)):
            pass  # what belongs into it follows
    with walk.folder(source, (name,)) as marked:
        if not (with_mark and shadows.is_opaque(marked)):
            return None
        with walk.folder(target, (name,)) as opaque:
            shadows.set_opaque(opaque, opaque=True)
        shadows.set_opaque(marked, opaque=False)
        return True


def _walk(top: Path) -> Iterator[tuple[tuple[str, ...], str, os.stat_result]]:
    """Everything below, each folder before what is in it."""
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        parts = waiting.pop()
        try:
            with walk.folder(top, parts) as handle:
                listed = list(walk.scan(handle))
        except FileNotFoundError:
            continue  # it was put back or deleted meanwhile
        for name, status in listed:
            if stat.S_ISDIR(status.st_mode):
                waiting.append((*parts, name))
            yield parts, name, status


def keep(directory: ServerDirectory, wanted: Collection[Shadow], *, found: Collection[Shadow]) -> int:
    """Remember the originals beside which these copies are wanted: they are outdated no more until those change.

    What was kept before and is not `found` any more is forgotten. Raises OSError.
    """
    existing = {shadow.path for shadow in found}
    kept = {path: identity for path, identity in directory.read_kept().items() if path in existing}
    kept |= {shadow.path: shadow.original for shadow in wanted}
    atomic.write(directory.kept_file, json.dumps(kept), mode=0o600, durable=True)
    return len(wanted)


@dataclass(frozen=True)
class Aside:
    """What is set aside: how many files and folders, and when the newest were."""

    files: int
    at: float


def aside(directory: ServerDirectory) -> Aside | None:
    """What is set aside and can be put back; None when nothing is."""
    batches = _batches(directory)
    files = sum(map(_count, batches))
    return Aside(files, float(batches[0].name)) if files else None


def _count(batch: Path) -> int:
    files = 0
    for parts, name, status in _walk(batch):
        if not stat.S_ISDIR(status.st_mode):
            files += 1
            continue
        with contextlib.suppress(FileNotFoundError), walk.folder(batch, (*parts, name)) as handle:
            files += shadows.is_opaque(handle)
    return files


def forget_aside(directory: ServerDirectory, *, before: float) -> int:
    """Delete what was set aside before this Unix time; returns how many times it was. Raises OSError."""
    expired = [batch for batch in _batches(directory) if float(batch.name) < before]
    for batch in expired:
        shutil.rmtree(batch)
    return len(expired)


def _batches(directory: ServerDirectory) -> list[Path]:
    """The newest first."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(directory.aside.iterdir(), key=lambda path: float(path.name), reverse=True)
    return []
