"""One file that holds directory trees: written while games write to them, read as if it were out to get us.

A tar in the pax format, so that `tar -tvf` shows it, without compression: what fills it are VPKs, which are
compressed already. Its first member is `manifest.json`, in a space of fixed size that is filled in last; its SHA-256
is that of everything after this space.

The writable layer of a server is the kernel's and the game's: a deleted file is a character device 0:0 there, an
opaque directory has an attribute `user.overlay.opaque`. Both are kept. Nothing else that is no file, directory or
link is, neither on the way in nor on the way out.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import stat
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, cast
from urllib.parse import quote, unquote

from left4me.core.files import walk

MANIFEST: Final = "manifest.json"
DEEPEST: Final = 64

OnBytes = Callable[[int], None]

_MANIFEST_SPACE: Final = 256 * 1024
_BLOCK: Final = 512
_CHUNK: Final = 1024 * 1024
_XATTR: Final = "SCHILY.xattr."
# A handle of the file below, as this machine's file system counts; the kernel ignores it anywhere else.
_MEANINGLESS_ELSEWHERE: Final = {"user.overlay.origin", "user.overlay.uuid"}
_LARGE: Final = 64 * 1024**2
_SKIPPED_NAMED: Final = 50
_NAMES: Final[Any] = {"encoding": "utf-8", "errors": "surrogateescape"}
_LONGEST_NAME: Final = 4000


class BadArchive(Exception):
    """The file is not a whole backup, or holds what none of ours would; the message says which."""


@dataclass
class Part:
    """What one area of the archive holds."""

    files: int = 0
    size: int = 0


@dataclass
class Skipped:
    """What was left out of the archive, with the first few names."""

    count: int = 0
    names: list[str] = field(default_factory=list)

    def note(self, name: str, why: str) -> None:
        self.count += 1
        if len(self.names) < _SKIPPED_NAMED:
            self.names.append(f"{name[:200]}: {why}".encode("utf-8", "replace").decode())


class _Hashing:
    """Passes on to a file what the tar writer gives it, and hashes it on the way."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def tell(self) -> int:
        return self._file.tell()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self._file.write(data)


class Writer:
    """Writes one archive to a file that can be sought in; `finish` makes it whole."""

    def __init__(self, file: BinaryIO, *, on_bytes: OnBytes = lambda _: None) -> None:
        self._file = file
        self._on_bytes = on_bytes
        self.parts: dict[str, Part] = {}
        self.skipped = Skipped()
        file.write(_manifest_block(b""))
        self._hashing = _Hashing(file)
        self._tar = tarfile.open(  # noqa: SIM115 -- closed by finish
            fileobj=cast(BinaryIO, self._hashing),
            mode="w",
            format=tarfile.PAX_FORMAT,
            **_NAMES,
        )

    def add_bytes(self, name: str, data: bytes, *, mode: int = 0o600) -> None:
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(data), mode
        self._add(info, io.BytesIO(data))

    def add_file(self, path: Path, name: str) -> None:
        """One file; a symbolic link in its place is refused. Raises OSError."""
        with walk.open_file(path) as file:
            self._add_open(file, name)

    def add_tree(self, top: Path, name: str, *, skip: Callable[[str], bool] = lambda _: False) -> None:
        """Everything below `top`, which somebody may be changing: nothing outside of it is ever read.

        What vanishes meanwhile is left out; what grows is cut at the size it had. `skip` is asked with the path below
        `top`.
        """
        try:
            handle = walk.open_folder(top)
        except FileNotFoundError:
            return
        self._add_folder(handle, name, "", depth=0, skip=skip)

    def finish(self, manifest: dict[str, Any]) -> None:
        self._tar.close()
        end = self._file.tell()
        whole = {
            **manifest,
            "parts": {name: {"files": part.files, "bytes": part.size} for name, part in self.parts.items()},
            "skipped": {"count": self.skipped.count, "names": self.skipped.names},
            "size": end,
            "sha256": self._hashing.digest.hexdigest(),
        }
        self._file.seek(0)
        self._file.write(_manifest_block(json.dumps(whole, indent=1).encode()))
        self._file.seek(end)

    def _add_folder(self, handle: int, name: str, below: str, *, depth: int, skip: Callable[[str], bool]) -> None:
        # `handle` is this function's to close. The recursion is as deep as the tree may be, no deeper.
        try:
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE
            _describe(info, os.fstat(handle), _attributes(handle))
            self._add(info)
            for entry in sorted(os.listdir(handle)):
                path = f"{below}/{entry}" if below else entry
                if skip(path):
                    continue
                if depth >= DEEPEST or len(name) + len(entry) > _LONGEST_NAME:
                    self.skipped.note(f"{name}/{entry}", "too deep")
                    continue
                # What vanished since the listing is left out like what was gone before it.
                with contextlib.suppress(FileNotFoundError):
                    self._add_entry(handle, entry, f"{name}/{entry}", path, depth=depth, skip=skip)
        finally:
            os.close(handle)

    def _add_entry(
        self, folder: int, entry: str, name: str, below: str, *, depth: int, skip: Callable[[str], bool]
    ) -> None:
        seen = walk.status(entry, at=folder)
        if seen is None:
            return
        try:
            if stat.S_ISDIR(seen.st_mode):
                self._add_folder(walk.open_folder(entry, at=folder), name, below, depth=depth + 1, skip=skip)
            elif stat.S_ISREG(seen.st_mode):
                with walk.open_file(entry, at=folder) as file:
                    self._add_open(file, name)
            elif stat.S_ISLNK(seen.st_mode):
                info = tarfile.TarInfo(name)
                info.type, info.linkname = tarfile.SYMTYPE, os.readlink(entry, dir_fd=folder)
                _describe(info, seen, {})
                self._add(info)
            elif _is_whiteout(seen):
                info = tarfile.TarInfo(name)
                info.type = tarfile.CHRTYPE
                _describe(info, seen, {})
                self._add(info)
            else:
                self.skipped.note(name, "neither file, directory nor link")
        except FileNotFoundError:
            raise
        except OSError as error:
            # Also a file that turned into a link since it was looked at.
            self.skipped.note(name, error.strerror or "unreadable")

    def _add_open(self, file: BinaryIO, name: str) -> None:
        seen = os.fstat(file.fileno())
        if seen.st_size > _LARGE and seen.st_blocks * 512 * 2 < seen.st_size:
            # A file of nothing but holes costs a hostile game nothing, and would fill the disk here.
            self.skipped.note(name, f"{seen.st_size} bytes, mostly holes")
            return
        info = tarfile.TarInfo(name)
        info.size = seen.st_size
        _describe(info, seen, _attributes(file.fileno()))
        self._add(info, file)

    def _add(self, info: tarfile.TarInfo, source: BinaryIO | None = None) -> None:
        self._tar.members.clear()  # type: ignore[attr-defined]
        part = self.parts.setdefault(info.name.partition("/")[0], Part())
        if source is None:
            self._tar.addfile(info)
        else:
            part.files += 1
            part.size += info.size
            self._tar.addfile(info, cast(BinaryIO, _Exactly(source, info.size, self._on_bytes)))


class _Exactly:
    """Reads as many bytes as were promised: what a growing file has more is cut, what a shrunk one lacks is zero."""

    def __init__(self, source: BinaryIO, size: int, on_bytes: OnBytes) -> None:
        self._source = source
        self._left = size
        self._on_bytes = on_bytes

    def read(self, size: int) -> bytes:
        wanted = min(size, self._left)
        data = self._source.read(wanted)
        data += b"\0" * (wanted - len(data))
        self._left -= wanted
        self._on_bytes(wanted)
        return data


def _describe(info: tarfile.TarInfo, seen: os.stat_result, attributes: dict[str, bytes]) -> None:
    info.mode = stat.S_IMODE(seen.st_mode) & 0o777
    info.mtime = seen.st_mtime
    # Whose it is, the restoring machine knows better: user ids differ between machines.
    info.uid = info.gid = 0
    info.pax_headers = {
        _XATTR + quote(name, safe=".-_"): value.decode("utf-8", "surrogateescape")
        for name, value in attributes.items()
    }


def _attributes(handle: int) -> dict[str, bytes]:
    found = {}
    # Without support for them on this file system there are none.
    with contextlib.suppress(OSError):
        for name in os.listxattr(handle):
            if name.startswith("user.") and name not in _MEANINGLESS_ELSEWHERE:
                found[name] = os.getxattr(handle, name)
    return found


def _is_whiteout(seen: os.stat_result) -> bool:
    return stat.S_ISCHR(seen.st_mode) and seen.st_rdev == 0


def _manifest_block(data: bytes) -> bytes:
    if len(data) > _MANIFEST_SPACE:
        raise ValueError("the manifest is larger than its space")
    info = tarfile.TarInfo(MANIFEST)
    info.size, info.mode = _MANIFEST_SPACE, 0o600
    return info.tobuf(tarfile.USTAR_FORMAT) + data.ljust(_MANIFEST_SPACE, b" ")


def read_manifest(file: BinaryIO) -> dict[str, Any]:
    """What the archive says of itself; the file then stands where its members begin. Raises BadArchive."""
    file.seek(0)
    head = file.read(_BLOCK)
    data = file.read(_MANIFEST_SPACE)
    try:
        info = tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
        if info.name != MANIFEST or info.size != _MANIFEST_SPACE:
            raise BadArchive("this is not a backup of left4me")
        manifest = json.loads(data)
    except tarfile.HeaderError:
        raise BadArchive("this is not a backup of left4me") from None
    except ValueError:
        raise BadArchive("this backup was never finished") from None
    if not isinstance(manifest, dict) or not isinstance(manifest.get("sha256"), str):
        raise BadArchive("this backup was never finished")
    return manifest


def verify(file: BinaryIO, manifest: dict[str, Any], *, on_bytes: OnBytes = lambda _: None) -> None:
    """Read everything once. Raises BadArchive when it is not, byte for byte, what was written."""
    size = os.fstat(file.fileno()).st_size
    if size != manifest.get("size"):
        raise BadArchive(f"this backup is incomplete: {size} bytes are there, {manifest.get('size')} were written")
    file.seek(_BLOCK + _MANIFEST_SPACE)
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
        on_bytes(len(chunk))
    if digest.hexdigest() != manifest["sha256"]:
        raise BadArchive("this backup is damaged: its content has another checksum than when it was written")


def extract(
    file: BinaryIO,
    target: Path,
    *,
    owner: Callable[[str], tuple[int, int]],
    on_bytes: OnBytes = lambda _: None,
) -> None:
    """Lay the members out below `target`, an empty directory that only the caller may enter.

    `owner` gives user and group of a member by its name. Raises BadArchive for a member that could have an effect
    outside of `target`, or is of a kind that no backup holds; then `target` holds a part, for the caller to remove.
    """
    file.seek(_BLOCK + _MANIFEST_SPACE)
    top = walk.open_folder(target)
    try:
        with tarfile.open(fileobj=file, mode="r:", **_NAMES) as tar:
            while (info := tar.next()) is not None:
                # What is done need not stay in memory: there may be hundreds of thousands.
                tar.members.clear()  # type: ignore[attr-defined]
                parts = _parts(info.name)
                with walk.folder(top, parts[:-1], make=0o700) as folder:
                    _extract_one(tar, info, folder, parts[-1], owner(info.name), on_bytes)
    except tarfile.TarError as error:
        raise BadArchive(f"this backup cannot be laid out: {error}") from error
    except OSError as error:
        # A member below a link, or twice the same: not what a full disk says.
        if error.errno in {errno.EEXIST, errno.ENOTDIR, errno.ENOENT, errno.ELOOP}:
            raise BadArchive(f"this backup cannot be laid out: {error}") from error
        raise
    finally:
        os.close(top)


def _parts(name: str) -> list[str]:
    parts = name.split("/")
    if len(parts) > DEEPEST + 16 or any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise BadArchive(f"this backup holds a path that none of ours would: {name[:200]!r}")
    return parts


def _extract_one(
    tar: tarfile.TarFile,
    info: tarfile.TarInfo,
    folder: int,
    name: str,
    owner: tuple[int, int],
    on_bytes: OnBytes,
) -> None:
    if info.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and info.sparse is None:
        source = tar.extractfile(info)
        with walk.create_file(name, 0o600, at=folder) as file:
            while source is not None and (chunk := source.read(_CHUNK)):
                file.write(chunk)
                on_bytes(len(chunk))
            file.flush()
            _dress(file.fileno(), info, owner)
            os.utime(file.fileno(), (info.mtime, info.mtime))
    elif info.isdir():
        with walk.folder(folder, (name,), make=0o700) as handle:
            _dress(handle, info, owner)
    elif info.issym():
        os.symlink(info.linkname, name, dir_fd=folder)
        os.chown(name, *owner, dir_fd=folder, follow_symlinks=False)
    elif info.ischr() and info.devmajor == info.devminor == 0:
        os.mknod(name, stat.S_IFCHR | 0o600, os.makedev(0, 0), dir_fd=folder)
        os.chown(name, *owner, dir_fd=folder, follow_symlinks=False)
    else:
        raise BadArchive(f"this backup holds something that is neither file, directory nor link: {info.name[:200]!r}")


def _dress(handle: int, info: tarfile.TarInfo, owner: tuple[int, int]) -> None:
    """Attributes, owner and mode; never set-user-id, whatever the archive says."""
    for key, value in info.pax_headers.items():
        name = unquote(key.removeprefix(_XATTR))
        if key.startswith(_XATTR) and name.startswith("user."):
            os.setxattr(handle, name, value.encode("utf-8", "surrogateescape"))
    os.chown(handle, *owner)
    os.chmod(handle, info.mode & 0o777)
