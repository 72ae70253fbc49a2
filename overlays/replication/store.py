"""Copies of overlays on a host other than the web's.

overlay_copies/<overlay>/<digest>/      a copy; it never changes, so running servers keep the content they started with
overlay_copies/<overlay>/current.json   the copy that the next start uses, and its content version
overlay_copies/<overlay>/incoming/      downloaded files named by their hash; they are not downloaded again
"""

from __future__ import annotations

import contextlib
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

from left4me.core.files import atomic
from left4me.core.files.tree import Tree
from overlays.replication.manifest import Entry, Manifest

# A start that is being prepared may be about to mount a copy that is no longer the current one.
_GRACE_SECONDS = 3600
_DIGEST_SHOWN = 32
_COPY = re.compile(rf"[0-9a-f]{{{_DIGEST_SHOWN}}}")
_LOOK_SECONDS = 0.2
_PROGRAM, _PLAIN = 0o755, 0o644


@dataclass(frozen=True)
class Current:
    """The copy that starts use. If it is not whole (items could not be downloaded), the next start makes it again."""

    name: str
    content_version: int
    is_whole: bool


def is_needed() -> bool:
    """Whether this process runs on a host other than the web's, which needs copies of overlays."""
    return bool(settings.LEFT4ME_WEB_URL)


def root() -> Path:
    return Path(settings.LEFT4ME_ROOT) / "overlay_copies"


_Mounts = Callable[[], set[Path]]
_mounts: list[_Mounts] = []


def register_mounts(mounts: _Mounts) -> None:
    """Register a function that returns the trees mounted by running servers: their copies are not removed."""
    _mounts.append(mounts)


def _mounted() -> set[Path]:
    return set().union(*(mounts() for mounts in _mounts))


def overlay_ids() -> list[int]:
    """The ids of overlays that have a directory in the store."""
    if not root().is_dir():
        return []
    return sorted(int(path.name) for path in root().iterdir() if path.name.isdecimal())


class Copies:
    """The copies of one overlay on this host."""

    def __init__(self, overlay_id: int) -> None:
        self.path = root() / str(overlay_id)
        self.incoming = self.path / "incoming"
        self._current = self.path / "current.json"

    def current(self) -> Current | None:
        """The copy that starts use; None when there is none, or `current.json` is damaged."""
        try:
            stored = json.loads(self._current.read_text())
            copy = Current(str(stored["name"]), int(stored["content_version"]), bool(stored["is_whole"]))
        except (OSError, ValueError, TypeError, LookupError):
            return None
        return copy if _COPY.fullmatch(copy.name) and self.tree(copy).is_dir() else None

    def tree(self, copy: Current) -> Path:
        return self.path / copy.name

    @contextlib.contextmanager
    def locked(self, check: Callable[[], None]) -> Iterator[None]:
        """Lock the copies against other jobs of this host. While waiting, calls `check`, which may raise to cancel."""
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

    def available_files(self) -> dict[str, Path]:
        """The complete files on this host by hash: those of the current copy, and downloaded ones."""
        files = {}
        current = self.current()
        if current is not None:
            with contextlib.suppress(OSError, ValueError, LookupError):
                hashes = json.loads(self._hashes_file(current.name).read_text())
                files = {digest: self.tree(current) / path for path, digest in hashes.items()}
        if self.incoming.is_dir():
            files |= {path.name: path for path in self.incoming.iterdir() if len(path.name) == 64}
        return files

    def publish(self, manifest: Manifest, *, is_whole: bool = True) -> Current:
        """Make a copy from `manifest` and the available files, and make it the current one. Raises OSError.

        All content is synced to the disk before the copy gets its name, and it has its name before `current.json`
        refers to it, so a crash at any point leaves a valid store.
        """
        copy = Current(manifest.digest[:_DIGEST_SHOWN], manifest.content_version, is_whole)
        if not self.tree(copy).is_dir():
            self._assemble(manifest, self.tree(copy))
        # The mtime records the last use, for `remove_unused`.
        os.utime(self.tree(copy))
        _write(
            self._current,
            {"name": copy.name, "content_version": copy.content_version, "is_whole": is_whole},
        )
        shutil.rmtree(self.incoming, ignore_errors=True)
        return copy

    def touch(self, copy: Current) -> None:
        """Record that the copy is in use, so that `remove_unused` keeps it for a while."""
        os.utime(self.tree(copy))

    def remove_unused(self) -> int:
        """Remove copies that are neither current, nor mounted, nor recently used; returns how many."""
        current, mounted, removed = self.current(), _mounted(), 0
        for path in self.path.iterdir():
            is_current = current is not None and path.name == current.name
            if not _COPY.fullmatch(path.name) or is_current or _is_mounted(path, mounted):
                continue
            if time.time() - path.stat().st_mtime > _GRACE_SECONDS:
                self._discard(path)
                removed += 1
        return removed

    def remove(self) -> bool:
        """Remove everything except copies that running servers have mounted; returns whether nothing is left."""
        mounted = _mounted()
        self._current.unlink(missing_ok=True)
        shutil.rmtree(self.incoming, ignore_errors=True)
        for path in list(self.path.iterdir()) if self.path.is_dir() else []:
            if _COPY.fullmatch(path.name) and not _is_mounted(path, mounted):
                self._discard(path)
        if any(_COPY.fullmatch(path.name) for path in (self.path.iterdir() if self.path.is_dir() else ())):
            return False
        shutil.rmtree(self.path, ignore_errors=True)
        return True

    def _assemble(self, manifest: Manifest, target: Path) -> None:
        files = self.available_files()
        fresh = self.path / f".fresh-{target.name}"
        shutil.rmtree(fresh, ignore_errors=True)
        with Tree(fresh) as content:
            # Links last, since no path component may be a link while folders are created.
            for entry in sorted(manifest.entries, key=lambda entry: bool(entry.link)):
                _place(content, entry, files)
        atomic.sync_file_system(fresh)
        _write(
            self._hashes_file(target.name), {entry.path: entry.sha256 for entry in manifest.entries if entry.sha256}
        )
        atomic.publish(fresh, target, durable=True)

    def _discard(self, path: Path) -> None:
        shutil.rmtree(path)
        self._hashes_file(path.name).unlink(missing_ok=True)

    def _hashes_file(self, name: str) -> Path:
        return self.path / f"{name}.json"


def _is_mounted(path: Path, mounted: set[Path]) -> bool:
    return path in mounted or path.resolve() in mounted


def _place(content: Tree, entry: Entry, files: dict[str, Path]) -> None:
    if entry.link:
        content.add_link(entry.parts, entry.link)
    elif entry.sha256:
        # The files of copies never change, so copies can share them.
        content.share(files[entry.sha256], entry.parts, mode=_PROGRAM if entry.is_program else _PLAIN)
    else:
        content.make_folder(entry.parts)


def _write(path: Path, content: dict[str, object] | dict[str, str]) -> None:
    atomic.write(path, json.dumps(content), mode=0o640, durable=True)
