"""Copies of overlays' content on a host beside the web's own.

overlay_copies/<overlay>/<digest>/      one content, made once and never changed: running servers keep what they have
overlay_copies/<overlay>/current.json   which of them a start takes, and which content version that is
overlay_copies/<overlay>/incoming/      files on their way, named by their hash; what is there is not fetched again
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from left4me.core.files.tree import Tree
from overlays.replication.manifest import Entry, Manifest

# A start that was prepared a moment ago may be about to mount a copy that is no longer the current one.
_GRACE_SECONDS = 3600
_DIGEST_SHOWN = 32
_COPY = re.compile(rf"[0-9a-f]{{{_DIGEST_SHOWN}}}")
_LOOK_SECONDS = 0.2
_PROGRAM, _PLAIN = 0o755, 0o644


@dataclass(frozen=True)
class Current:
    """The copy that starts take. One that is not whole (items could not be downloaded) is made again next time."""

    name: str
    content_version: int
    is_whole: bool


def is_needed() -> bool:
    """Whether this process works on a host that has to fetch what overlays hold."""
    return bool(settings.LEFT4ME_WEB_URL)


def root() -> Path:
    return Path(settings.LEFT4ME_ROOT) / "overlay_copies"


_Users = Callable[[], set[Path]]
_users: list[_Users] = []


def ask_before_removing(users: _Users) -> None:
    """Let `users` say which trees running servers have mounted; who runs servers registers it when Django is ready."""
    _users.append(users)


def _in_use() -> set[Path]:
    return set().union(*(users() for users in _users))


def held() -> list[int]:
    """The overlays of which this host has something."""
    if not root().is_dir():
        return []
    return sorted(int(path.name) for path in root().iterdir() if path.name.isdecimal())


class Copies:
    """All that a host holds of one overlay."""

    def __init__(self, overlay_id: int) -> None:
        self.path = root() / str(overlay_id)
        self.incoming = self.path / "incoming"
        self._current = self.path / "current.json"

    def current(self) -> Current | None:
        try:
            said = json.loads(self._current.read_text())
            found = Current(str(said["name"]), int(said["content_version"]), bool(said["is_whole"]))
        except (OSError, ValueError, TypeError, LookupError):
            return None
        return found if _COPY.fullmatch(found.name) and self.tree(found).is_dir() else None

    def tree(self, copy: Current) -> Path:
        return self.path / copy.name

    @contextlib.contextmanager
    def alone(self, check: Callable[[], None]) -> Iterator[None]:
        """Hold these copies against other jobs of this host; waits for its turn, calling `check` meanwhile."""
        self.path.mkdir(parents=True, exist_ok=True)
        fd = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while True:
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                check()
                time.sleep(_LOOK_SECONDS)
            yield
        finally:
            os.close(fd)

    def files_held(self) -> dict[str, Path]:
        """Where a whole file of some hash lies on this host already, in the current copy or among what has arrived."""
        found = {}
        current = self.current()
        if current is not None:
            with contextlib.suppress(OSError, ValueError, LookupError):
                noted = json.loads(self._note_of(current.name).read_text())
                found = {digest: self.tree(current) / path for path, digest in noted.items()}
        if self.incoming.is_dir():
            found |= {path.name: path for path in self.incoming.iterdir() if len(path.name) == 64}
        return found

    def publish(self, manifest: Manifest, *, is_whole: bool = True) -> Current:
        """Make the copy of `manifest` from the files held and let starts take it. Raises OSError.

        Everything stands on the disk before the copy has its name, and it has that before `current` says so.
        """
        copy = Current(manifest.digest[:_DIGEST_SHOWN], manifest.content_version, is_whole)
        if not self.tree(copy).is_dir():
            self._assemble(manifest, self.tree(copy))
        # Its age says when it was last of use.
        os.utime(self.tree(copy))
        _write(
            self._current,
            {"name": copy.name, "content_version": copy.content_version, "is_whole": is_whole},
        )
        shutil.rmtree(self.incoming, ignore_errors=True)
        return copy

    def touch(self, copy: Current) -> None:
        os.utime(self.tree(copy))

    def remove_unused(self) -> int:
        """Remove copies that are neither current nor mounted nor fresh; returns how many."""
        current, in_use, removed = self.current(), _in_use(), 0
        for path in self.path.iterdir():
            is_kept = current is not None and path.name == current.name
            if not _COPY.fullmatch(path.name) or is_kept or _is_used(path, in_use):
                continue
            if time.time() - path.stat().st_mtime > _GRACE_SECONDS:
                self._discard(path)
                removed += 1
        return removed

    def remove(self) -> bool:
        """Remove all of it, but for what a running server has mounted; returns whether nothing is left."""
        in_use = _in_use()
        self._current.unlink(missing_ok=True)
        shutil.rmtree(self.incoming, ignore_errors=True)
        for path in list(self.path.iterdir()) if self.path.is_dir() else []:
            if _COPY.fullmatch(path.name) and not _is_used(path, in_use):
                self._discard(path)
        if any(_COPY.fullmatch(path.name) for path in (self.path.iterdir() if self.path.is_dir() else ())):
            return False
        shutil.rmtree(self.path, ignore_errors=True)
        return True

    def _assemble(self, manifest: Manifest, target: Path) -> None:
        held = self.files_held()
        fresh = self.path / f".fresh-{target.name}"
        shutil.rmtree(fresh, ignore_errors=True)
        with Tree(fresh) as content:
            # Links last: none of ours stands in the way while folders are made.
            for entry in sorted(manifest.entries, key=lambda each: bool(each.link)):
                _place(content, entry, held)
        _sync(fresh)
        _write(self._note_of(target.name), {entry.path: entry.sha256 for entry in manifest.entries if entry.sha256})
        fresh.rename(target)

    def _discard(self, path: Path) -> None:
        shutil.rmtree(path)
        self._note_of(path.name).unlink(missing_ok=True)

    def _note_of(self, name: str) -> Path:
        return self.path / f"{name}.json"


def _is_used(path: Path, in_use: set[Path]) -> bool:
    return path in in_use or path.resolve() in in_use


def _place(content: Tree, entry: Entry, held: dict[str, Path]) -> None:
    if not entry.sha256 and not entry.link:
        content.make_folder(entry.parts)
        return
    with content.folder(entry.parts[:-1], make=True) as handle:
        name = entry.parts[-1]
        if entry.link:
            os.symlink(entry.link, name, dir_fd=handle)
            return
        source = held[entry.sha256]
        mode = _PROGRAM if entry.is_program else _PLAIN
        if source.stat().st_mode & 0o777 == mode:
            # Nobody writes to a file of a copy, so that copies may share it.
            with contextlib.suppress(OSError):
                os.link(source, name, dst_dir_fd=handle, follow_symlinks=False)
                return
        # The same bytes once as a program and once not, or as many names as the file system gives one file.
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode, dir_fd=handle)
        with os.fdopen(fd, "wb") as target, source.open("rb") as stream:
            shutil.copyfileobj(stream, target, 1024 * 1024)
            os.fchmod(target.fileno(), mode)


def _write(path: Path, said: dict[str, object] | dict[str, str]) -> None:
    fresh = path.with_name(f".{path.name}")
    with fresh.open("w") as stream:
        json.dump(said, stream)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(path)


def _sync(path: Path) -> None:
    """Bring all of the file system that holds `path` to the disk: once, not file by file."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(fd) != 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error), str(path))
    finally:
        os.close(fd)
