"""Archives of directory trees: safe to write while the files change; the reader treats the archive as untrusted input.

The format is tar (pax), so that `tar -tvf` lists it, without compression: most of it are VPKs, which are compressed
already. The first member is `manifest.json`, in a space of fixed size that is filled in last. It holds the SHA-256 of
everything after this space.

The writable layer of a server is an overlayfs upper directory: a deleted file is a character device 0:0 there, and an
opaque directory has the attribute `user.overlay.opaque`. Archives keep both. Otherwise they hold files, directories
and symbolic links only; anything else is skipped by the writer and refused by the reader.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import stat
import tarfile
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, cast
from urllib.parse import quote, unquote

from deploy.language import gettext as _
from left4me.core.files import walk

MANIFEST: Final = "manifest.json"
DEEPEST: Final = 64

OnBytes = Callable[[int], None]

_MANIFEST_SPACE: Final = 256 * 1024
_BLOCK: Final = 512
_CHUNK: Final = 1024 * 1024
_XATTR: Final = "SCHILY.xattr."
# These refer to a file system of this machine; the kernel ignores them anywhere else.
_MEANINGLESS_ELSEWHERE: Final = {"user.overlay.origin", "user.overlay.uuid"}
_LARGE: Final = 64 * 1024**2
_SKIPPED_NAMED: Final = 50
_NAMES: Final[Any] = {"encoding": "utf-8", "errors": "surrogateescape"}
_LONGEST_NAME: Final = 4000


class BadArchive(Exception):
    """The file is not a complete backup, or holds members that no backup has; the message says which."""


@dataclass
class Part:
    """The content of one top directory of the archive, counted."""

    files: int = 0
    size: int = 0


@dataclass
class Skipped:
    """The files left out of the archive: their number, and the first names with the reason."""

    count: int = 0
    names: list[str] = field(default_factory=list)

    def note(self, name: str, why: str) -> None:
        self.count += 1
        if len(self.names) < _SKIPPED_NAMED:
            self.names.append(f"{name[:200]}: {why}".encode("utf-8", "replace").decode())


class _Hashing:
    """A file for the tar writer that hashes what is written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def tell(self) -> int:
        return self._file.tell()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self._file.write(data)


class Writer:
    """Writes one archive to a seekable file. `finish` completes it."""

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

    def add_file(self, path: Path, name: str) -> None:
        """Add one file. Raises OSError, also for a symbolic link."""
        with walk.open_file(path) as file:
            self._add_open(file, name)

    def add_tree(self, top: Path, name: str, *, skip: Callable[[str], bool] = lambda _: False) -> None:
        """Add everything below `top`, which may change while it is read. Nothing outside of it is read.

        Files that disappear are left out; files that grow are cut at the size they had. `skip` gets the path below
        `top` and returns True for what is to be left out.
        """
        try:
            handle = walk.open_folder(top)
        except FileNotFoundError:
            return
        self._add_folder(handle, name, "", depth=0, skip=skip)

    def finish(self, manifest: dict[str, Any]) -> None:
        """Complete the archive with its manifest, to which parts, size and checksum are added."""
        self._tar.close()
        end = self._file.tell()
        completed = {
            **manifest,
            "parts": {name: {"files": part.files, "bytes": part.size} for name, part in self.parts.items()},
            "skipped": {"count": self.skipped.count, "names": self.skipped.names},
            "size": end,
            "sha256": self._hashing.digest.hexdigest(),
        }
        self._file.seek(0)
        self._file.write(_manifest_block(json.dumps(completed, indent=1).encode()))
        self._file.seek(end)

    def _add_folder(self, handle: int, name: str, below: str, *, depth: int, skip: Callable[[str], bool]) -> None:
        # This function closes `handle`. The depth of the tree, and so of the recursion, is limited.
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
                # A file that was deleted since the listing is left out.
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
                self.skipped.note(name, _("not a file, directory or link"))
        except FileNotFoundError:
            raise
        except OSError as error:
            # This includes a file that was replaced by a link since stat().
            self.skipped.note(name, error.strerror or _("unreadable"))

    def _add_open(self, file: BinaryIO, name: str) -> None:
        seen = os.fstat(file.fileno())
        if seen.st_size > _LARGE and seen.st_blocks * 512 * 2 < seen.st_size:
            # A hostile game can create huge sparse files at no cost; in the archive they would fill the disk.
            self.skipped.note(name, _("%(size)d bytes, mostly holes") % {"size": seen.st_size})
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
    """Reads exactly `size` bytes: a file that has grown is cut, a file that has shrunk is filled with zeros."""

    def __init__(self, source: BinaryIO, size: int, on_bytes: OnBytes) -> None:
        self._source = source
        self._remaining = size
        self._on_bytes = on_bytes

    def read(self, size: int) -> bytes:
        count = min(size, self._remaining)
        data = self._source.read(count)
        data += b"\0" * (count - len(data))
        self._remaining -= count
        self._on_bytes(count)
        return data


def _describe(info: tarfile.TarInfo, seen: os.stat_result, attributes: dict[str, bytes]) -> None:
    info.mode = stat.S_IMODE(seen.st_mode) & 0o777
    info.mtime = seen.st_mtime
    # User ids differ between machines, so the restoring machine decides who owns a file.
    info.uid = info.gid = 0
    info.pax_headers = {
        _XATTR + quote(name, safe=".-_"): value.decode("utf-8", "surrogateescape")
        for name, value in attributes.items()
    }


def _attributes(handle: int) -> dict[str, bytes]:
    attributes = {}
    # Fails where the file system does not support attributes; then there are none.
    with contextlib.suppress(OSError):
        for name in os.listxattr(handle):
            if name.startswith("user.") and name not in _MEANINGLESS_ELSEWHERE:
                attributes[name] = os.getxattr(handle, name)
    return attributes


def _is_whiteout(seen: os.stat_result) -> bool:
    return stat.S_ISCHR(seen.st_mode) and seen.st_rdev == 0


def _manifest_block(data: bytes) -> bytes:
    if len(data) > _MANIFEST_SPACE:
        raise ValueError("the manifest is larger than its space")
    info = tarfile.TarInfo(MANIFEST)
    info.size, info.mode = _MANIFEST_SPACE, 0o600
    return info.tobuf(tarfile.USTAR_FORMAT) + data.ljust(_MANIFEST_SPACE, b" ")


def read_manifest(file: BinaryIO) -> dict[str, Any]:
    """Read the manifest; the file is then positioned at the first member after it. Raises BadArchive."""
    file.seek(0)
    head = file.read(_BLOCK)
    data = file.read(_MANIFEST_SPACE)
    try:
        info = tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
        if info.name != MANIFEST or info.size != _MANIFEST_SPACE:
            raise BadArchive(_("this is not a backup of left4me"))
        manifest = json.loads(data)
    except tarfile.HeaderError:
        raise BadArchive(_("this is not a backup of left4me")) from None
    except ValueError:
        raise BadArchive(_("this backup is incomplete")) from None
    if not isinstance(manifest, dict) or not isinstance(manifest.get("sha256"), str):
        raise BadArchive(_("this backup is incomplete"))
    return manifest


def verify(file: BinaryIO, manifest: dict[str, Any], *, on_bytes: OnBytes = lambda _: None) -> None:
    """Read the whole file once. Raises BadArchive unless size and checksum are those in the manifest."""
    size = os.fstat(file.fileno()).st_size
    if size != manifest.get("size"):
        raise BadArchive(
            _("this backup is incomplete: it has %(size)s bytes, %(written)s were written")
            % {"size": size, "written": manifest.get("size")}
        )
    file.seek(_BLOCK + _MANIFEST_SPACE)
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
        on_bytes(len(chunk))
    if digest.hexdigest() != manifest["sha256"]:
        raise BadArchive(_("this backup is damaged: its checksum differs from the one in its manifest"))


def extract(
    file: BinaryIO,
    target: Path,
    *,
    parts: Container[str],
    on_bytes: OnBytes = lambda _: None,
) -> None:
    """Unpack the members of `parts`, the top directories of the archive, below the empty directory `target`.

    Files belong to the present user. Raises BadArchive for a member that could have an effect outside of `target` or
    is of a kind that no backup holds. The caller then removes what was unpacked.
    """
    file.seek(_BLOCK + _MANIFEST_SPACE)
    closed: list[tuple[list[str], int]] = []
    top = walk.open_folder(target)
    try:
        with tarfile.open(fileobj=file, mode="r:", **_NAMES) as tar:
            while (info := tar.next()) is not None:
                # tarfile keeps every member in memory, and there may be hundreds of thousands.
                tar.members.clear()  # type: ignore[attr-defined]
                path = _parts(info.name)
                if path[0] not in parts:
                    continue
                if info.isdir() and info.mode & stat.S_IRWXU != stat.S_IRWXU:
                    closed.append((path, info.mode & 0o777))
                with walk.folder(top, path[:-1], make=0o700) as folder:
                    _extract_one(tar, info, folder, path[-1], on_bytes)
        # Only now: nobody but root can write into such a directory. The ones inside come first.
        for path, mode in reversed(closed):
            with walk.folder(top, path) as folder:
                os.fchmod(folder, mode)
    except tarfile.TarError as error:
        raise BadArchive(_("can't extract this backup: %(error)s") % {"error": error}) from error
    except OSError as error:
        # These mean a member below a link or a name that occurs twice. A full disk is another error.
        if error.errno in {errno.EEXIST, errno.ENOTDIR, errno.ENOENT, errno.ELOOP}:
            raise BadArchive(_("can't extract this backup: %(error)s") % {"error": error}) from error
        raise
    finally:
        os.close(top)


def _parts(name: str) -> list[str]:
    parts = name.split("/")
    if len(parts) > DEEPEST + 16 or any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise BadArchive(_("this backup contains an invalid path: %(name)r") % {"name": name[:200]})
    return parts


def _extract_one(
    tar: tarfile.TarFile,
    info: tarfile.TarInfo,
    folder: int,
    name: str,
    on_bytes: OnBytes,
) -> None:
    if info.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and info.sparse is None:
        source = tar.extractfile(info)
        with walk.create_file(name, 0o600, at=folder) as file:
            while source is not None and (chunk := source.read(_CHUNK)):
                file.write(chunk)
                on_bytes(len(chunk))
            file.flush()
            _dress(file.fileno(), info, mode=info.mode)
            os.utime(file.fileno(), (info.mtime, info.mtime))
    elif info.isdir():
        with walk.folder(folder, (name,), make=0o700) as handle:
            _dress(handle, info, mode=info.mode | stat.S_IRWXU)
    elif info.issym():
        os.symlink(info.linkname, name, dir_fd=folder)
    elif info.ischr() and info.devmajor == info.devminor == 0:
        # The kernel lets every user create this one device, which means "deleted" to overlayfs.
        os.mknod(name, stat.S_IFCHR | 0o600, os.makedev(0, 0), dir_fd=folder)
    else:
        raise BadArchive(
            _("this backup contains something other than a file, directory or link: %(name)r")
            % {"name": info.name[:200]}
        )


def _dress(handle: int, info: tarfile.TarInfo, *, mode: int) -> None:
    """Set attributes and mode. Set-user-id and set-group-id bits are dropped."""
    for key, value in info.pax_headers.items():
        name = unquote(key.removeprefix(_XATTR))
        if key.startswith(_XATTR) and name.startswith("user."):
            os.setxattr(handle, name, value.encode("utf-8", "surrogateescape"))
    os.chmod(handle, mode & 0o777)
