"""What an overlay's tree holds, said so that another host can make the same: every file with its hash.

On the wire a manifest is lines of JSON, sent while the tree is still being read, so that neither side waits in silence
for gigabytes to be hashed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from left4me.core.files import tree

logger = logging.getLogger(__name__)

MOST_ENTRIES = 400_000
_TRIES = 3
_READ = 1024 * 1024
_TELL_EVERY = 32 * 1024 * 1024
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

Signature = tuple[int, int, int, int]


class Changing(Exception):
    """The tree did not hold still for long enough to be read."""


class Malformed(ValueError):
    """What came over the wire is no manifest, or one that leads out of its tree."""


@dataclass(frozen=True)
class Entry:
    """One path of the tree: a file, else a link, else a folder."""

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
        """Names the content: equal for equal trees, whatever version they are."""
        lines = (json.dumps(entry.as_json(), sort_keys=True) for entry in sorted(self.entries, key=lambda e: e.path))
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @property
    def size(self) -> int:
        return sum(entry.size for entry in self.entries)


@dataclass
class Hashes:
    """What is known of files that were read before; one that was not written to since need not be read again."""

    file: Path
    known: dict[str, tuple[Signature, str]] = field(default_factory=dict)

    @classmethod
    def load(cls, file: Path) -> Hashes:
        try:
            held = json.loads(file.read_text())
            return cls(file, {path: ((one[0], one[1], one[2], one[3]), one[4]) for path, one in held.items()})
        except (OSError, ValueError, TypeError, LookupError, AttributeError):
            return cls(file)

    def save(self, found: Mapping[str, tuple[Signature, str]]) -> None:
        """Keep these and no others; a disk that does not take them costs time, not content."""
        fresh = self.file.with_name(f".{self.file.name}.{os.getpid()}")
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(json.dumps({path: [*mark, digest] for path, (mark, digest) in found.items()}))
            fresh.replace(self.file)
        except OSError as error:
            logger.warning("hashes of %s are not kept: %s", self.file.stem, error)


def lines(root: Path, *, content_version: int, hashes: Hashes) -> Iterator[dict[str, Any]]:
    """The lines of the manifest of the tree at `root`: entries, how far the reading is, and an end.

    `again` means that the tree was changed meanwhile and everything said so far is void; the end comes only after a
    second look has found the tree as it was when the first began. Raises Changing after some tries.
    """
    yield {"content_version": content_version}
    for _ in range(_TRIES):
        before = _Look(root)
        found: dict[str, tuple[Signature, str]] = {}
        yield from (entry.as_json() for entry in before.links_and_folders)
        yield from _file_lines(root, before, hashes, found)
        if len(found) == len(before.files) and _Look(root).signature == before.signature:
            hashes.save(found)
            yield {"end": True, "left_out": before.left_out[:100]}
            return
        hashes.known = found
        yield {"again": True}
    raise Changing


def _file_lines(
    root: Path, look: _Look, hashes: Hashes, found: dict[str, tuple[Signature, str]]
) -> Iterator[dict[str, Any]]:
    read = 0
    for path, status in look.files.items():
        mark = _mark(status)
        known = hashes.known.get(path)
        if known is not None and known[0] == mark:
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
        found[path] = (mark, digest)
        yield Entry(path, digest, status.st_size, bool(status.st_mode & 0o100)).as_json()


def _chunks(root: Path, path: str) -> Iterator[bytes]:
    """A file's bytes; none when it is gone, which the second look notices."""
    try:
        with tree.Tree(root) as content, content.open(tuple(path.split("/"))) as stream:
            while chunk := stream.read(_READ):
                yield chunk
    except (tree.BadPath, OSError):
        return


class _Look:
    """The tree as it stands now, by one walk that follows no link."""

    def __init__(self, root: Path) -> None:
        self.files: dict[str, os.stat_result] = {}
        self.links_and_folders: list[Entry] = []
        self.left_out: list[str] = []
        self.signature: list[tuple[Any, ...]] = []
        for where, folders, files, handle in os.fwalk(root, follow_symlinks=False):
            here = PurePosixPath(where).relative_to(root)
            folders[:] = sorted(name for name in folders if not name.startswith(tree.TEMPORARY))
            for name in (*folders, *sorted(files)):
                if not name.startswith(tree.TEMPORARY):
                    self._note(str(here / name), name, handle)

    def _note(self, path: str, name: str, handle: int) -> None:
        try:
            status = os.stat(name, dir_fd=handle, follow_symlinks=False)
            link = os.readlink(name, dir_fd=handle) if stat.S_ISLNK(status.st_mode) else ""
        except OSError:
            # Gone between the listing and this look: the second look will differ from it.
            self.signature.append((path, "gone"))
            return
        is_folder = stat.S_ISDIR(status.st_mode)
        self.signature.append((path, is_folder, link, *(() if is_folder else _mark(status))))
        if not _can_be_used(path) or (link and leads_out(tuple(path.split("/")), link)):
            self.left_out.append(ascii(path)[1:-1])
        elif link:
            self.links_and_folders.append(Entry(path, link=link))
        elif is_folder:
            self.links_and_folders.append(Entry(path))
        elif stat.S_ISREG(status.st_mode):
            self.files[path] = status
        else:
            self.left_out.append(path)


def _mark(status: os.stat_result) -> Signature:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _can_be_used(path: str) -> bool:
    """Whether the other side would make the very same path of it."""
    try:
        return "/".join(tree.parts(path)) == path
    except tree.BadPath:
        return False


def leads_out(where: tuple[str, ...], target: str) -> bool:
    """Whether a link at `where`, counted from the root of its tree, points anywhere but into the tree."""
    depth = len(where) - 1
    if target.startswith("/"):
        return True
    for part in PurePosixPath(target).parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return False


class Reader:
    """Takes the lines of a manifest one by one; `done` is the manifest once the last has come."""

    def __init__(self) -> None:
        self.done: Manifest | None = None
        self._version = 0
        self._entries: dict[str, Entry] = {}

    def take(self, line: bytes) -> int:
        """Read one line; returns how many bytes the web says it has read. Raises Malformed and Changing."""
        try:
            said = json.loads(line)
            return self._take(said)
        except (ValueError, TypeError, LookupError, AttributeError, tree.BadPath) as error:
            raise Malformed(f"no manifest: {error}") from error

    def _take(self, said: Mapping[str, Any]) -> int:
        if "changing" in said:
            raise Changing
        if "content_version" in said:
            self._version = int(said["content_version"])
        elif "again" in said:
            self._entries.clear()
        elif "end" in said:
            left_out = tuple(str(path) for path in said.get("left_out", []))
            self.done = Manifest(self._version, tuple(self._entries.values()), left_out)
        elif "path" in said:
            entry = _entry(said)
            self._entries[entry.path] = entry
            if len(self._entries) > MOST_ENTRIES:
                raise Malformed("it names too many files")
        return int(said.get("read", 0))


def _entry(said: Mapping[str, Any]) -> Entry:
    path, link, sha256 = str(said["path"]), str(said.get("link", "")), str(said.get("sha256", ""))
    if not _can_be_used(path) or not path:
        raise Malformed(f"“{path[:100]}” is no path in a tree")
    if link and leads_out(tuple(path.split("/")), link):
        raise Malformed(f"the link “{path[:100]}” leads out of the tree")
    if sha256 and (len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef")):
        raise Malformed("a hash is none")
    size = int(said.get("size", 0))
    if size < 0:
        raise Malformed("a size is none")
    return Entry(path, sha256, size, bool(said.get("run", False)), link)
