"""Manifests: every file of an overlay's tree with its hash, so that another host can make the same tree.

On the wire a manifest is lines of JSON. They are sent while the tree is still being read, so that the other host sees
progress while gigabytes are hashed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from left4me.core.files import atomic, tree, walk

logger = logging.getLogger(__name__)

MOST_ENTRIES = 400_000
_TRIES = 3
_READ = 1024 * 1024
_TELL_EVERY = 32 * 1024 * 1024

Signature = tuple[int, int, int, int]


class Changing(Exception):
    """The tree changed during every attempt to read it."""


class Malformed(ValueError):
    """The received lines are not a manifest, or contain a path or link that leads out of the tree."""


@dataclass(frozen=True)
class Entry:
    """A path of the tree: a file if it has a hash, a link if it has a target, otherwise a folder."""

    path: str
    sha256: str = ""
    size: int = 0
    is_program: bool = False
    link: str = ""

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(self.path.split("/"))

    def as_json(self) -> dict[str, Any]:
        if self.sha256:
            return {"path": self.path, "sha256": self.sha256, "size": self.size, "run": self.is_program}
        return {"path": self.path, "link": self.link} if self.link else {"path": self.path}


@dataclass(frozen=True)
class Manifest:
    content_version: int
    entries: tuple[Entry, ...]
    left_out: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """A hash of the content, equal for equal trees of any version. It names the copy."""
        lines = (json.dumps(entry.as_json(), sort_keys=True) for entry in sorted(self.entries, key=lambda e: e.path))
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @property
    def size(self) -> int:
        return sum(entry.size for entry in self.entries)


@dataclass
class Hashes:
    """Cached hashes of files. A file whose size, times and inode are unchanged is not read again."""

    file: Path
    known: dict[str, tuple[Signature, str]] = field(default_factory=dict)

    @classmethod
    def load(cls, file: Path) -> Hashes:
        try:
            stored = json.loads(file.read_text())
            return cls(file, {path: ((row[0], row[1], row[2], row[3]), row[4]) for path, row in stored.items()})
        except (OSError, ValueError, TypeError, LookupError, AttributeError):
            return cls(file)

    def save(self, hashes: Mapping[str, tuple[Signature, str]]) -> None:
        """Replace the cache by these hashes. An error is only logged: the next manifest then reads all files."""
        content = json.dumps({path: [*signature, digest] for path, (signature, digest) in hashes.items()})
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            atomic.write(self.file, content, mode=0o640, durable=False)
        except OSError as error:
            logger.warning("The hashes of overlay %s could not be stored: %s", self.file.stem, error)


def lines(root: Path, *, content_version: int, hashes: Hashes) -> Iterator[dict[str, Any]]:
    """The lines of the manifest of the tree at `root`: entries, `read` lines with progress, and an `end` line.

    An `again` line invalidates all previous lines: the tree changed while it was read. The `end` line is sent only
    after a second scan matches the first. Raises Changing after some tries.
    """
    yield {"content_version": content_version}
    for _ in range(_TRIES):
        before = _Scan(root)
        computed: dict[str, tuple[Signature, str]] = {}
        yield from (entry.as_json() for entry in before.links_and_folders)
        yield from _file_lines(root, before, hashes, computed)
        if len(computed) == len(before.files) and _Scan(root).signature == before.signature:
            hashes.save(computed)
            yield {"end": True, "left_out": before.left_out[:100]}
            return
        # The next attempt reads only the files that changed.
        hashes.known = computed
        yield {"again": True}
    raise Changing


def _file_lines(
    root: Path, scan: _Scan, hashes: Hashes, computed: dict[str, tuple[Signature, str]]
) -> Iterator[dict[str, Any]]:
    """The lines of the files of a scan. Adds their hashes to `computed`."""
    read = 0
    for path, status in scan.files.items():
        signature = _signature(status)
        known = hashes.known.get(path)
        if known is not None and known[0] == signature:
            digest = known[1]
        else:
            hashed = hashlib.sha256()
            for chunk in _chunks(root, path):
                hashed.update(chunk)
                read += len(chunk)
                if read >= _TELL_EVERY:
                    yield {"read": read}
                    read = 0
            digest = hashed.hexdigest()
        computed[path] = (signature, digest)
        yield Entry(path, digest, status.st_size, bool(status.st_mode & 0o100)).as_json()


def _chunks(root: Path, path: str) -> Iterator[bytes]:
    """The content of a file; empty when it was deleted, which the second scan detects."""
    try:
        with tree.Tree(root) as content, content.open(tuple(path.split("/"))) as stream:
            while chunk := stream.read(_READ):
                yield chunk
    except (tree.BadPath, OSError):
        return


class _Scan:
    """The tree at this moment, read in one walk that follows no links."""

    def __init__(self, root: Path) -> None:
        self.files: dict[str, os.stat_result] = {}
        self.links_and_folders: list[Entry] = []
        self.left_out: list[str] = []
        self.signature: list[tuple[Any, ...]] = []
        for path, status, link in walk.entries(root, skip_prefix=atomic.TEMPORARY):
            self._add(path, status, link)

    def _add(self, path: str, status: os.stat_result | None, link: str) -> None:
        if status is None:
            # Deleted after the directory was listed: the second scan will differ.
            self.signature.append((path, "gone"))
            return
        is_folder = stat.S_ISDIR(status.st_mode)
        self.signature.append((path, is_folder, link, *(() if is_folder else _signature(status))))
        # A path that cannot be recreated, or a link out of the tree, is only reported.
        if not _is_portable(path) or (link and walk.leads_out(path.split("/"), link)):
            self.left_out.append(ascii(path)[1:-1])
        elif link:
            self.links_and_folders.append(Entry(path, link=link))
        elif is_folder:
            self.links_and_folders.append(Entry(path))
        elif stat.S_ISREG(status.st_mode):
            self.files[path] = status
        else:
            self.left_out.append(path)


def _signature(status: os.stat_result) -> Signature:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _is_portable(path: str) -> bool:
    """Whether the receiving host would create exactly this path."""
    try:
        return "/".join(tree.parts(path)) == path
    except tree.BadPath:
        return False


class Reader:
    """Parses the lines of a manifest one by one; `done` is the manifest after the `end` line."""

    def __init__(self) -> None:
        self.done: Manifest | None = None
        self._version = 0
        self._entries: dict[str, Entry] = {}

    def take(self, line: bytes) -> int:
        """Parse a line; returns the bytes that the web has read since its last report. Raises Malformed, Changing."""
        try:
            return self._take(json.loads(line))
        except (
            ValueError,
            TypeError,
            LookupError,
            AttributeError,
            ArithmeticError,
            RecursionError,
            tree.BadPath,
        ) as error:
            raise Malformed(f"no manifest: {error}") from error

    def _take(self, line: Mapping[str, Any]) -> int:
        if "changing" in line:
            raise Changing
        if "content_version" in line:
            self._version = int(line["content_version"])
        elif "again" in line:
            self._entries.clear()
        elif "end" in line:
            left_out = tuple(str(path) for path in line.get("left_out", []))
            self.done = Manifest(self._version, tuple(self._entries.values()), left_out)
        elif "path" in line:
            entry = _entry(line)
            self._entries[entry.path] = entry
            if len(self._entries) > MOST_ENTRIES:
                raise Malformed("it lists too many files")
        return int(line.get("read", 0))


def _entry(line: Mapping[str, Any]) -> Entry:
    path, link, sha256 = str(line["path"]), str(line.get("link", "")), str(line.get("sha256", ""))
    if not _is_portable(path) or not path:
        raise Malformed(f"“{path[:100]}” is not a valid path")
    if link and walk.leads_out(path.split("/"), link):
        raise Malformed(f"the link “{path[:100]}” points outside the tree")
    if sha256 and (len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef")):
        raise Malformed("a hash is none")
    size = int(line.get("size", 0))
    if size < 0:
        raise Malformed("a size is none")
    return Entry(path, sha256, size, bool(line.get("run", False)), link)
