"""What is in a release archive: which release it is, and its files."""

from __future__ import annotations

import gzip
import io
import os
import re
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from deploy.language import gettext as _

_COMMIT: Final = "deploy/commit.txt"
VERSION_FILE: Final = "left4me/core/version.py"
_CHANGELOG: Final = "CHANGELOG.md"
_VERSION_LINE: Final = re.compile(r'^PROJECT_VERSION = "([^"]+)"$', re.MULTILINE)
# As `git archive` fills it in (.gitattributes), and as git prints it in COMMIT_FORMAT: the commit, its time, its day.
COMMIT_FORMAT: Final = "%H %ct %cs"
_COMMIT_LINE: Final = re.compile(r"([0-9a-f]{40,64}) (\d+) (\d{4}-\d\d-\d\d)\n?")
_MOST_MEMBERS: Final = 50_000
_MOST_BYTES: Final = 1024**3
_MOST_TEXT: Final = 4 * 1024**2
# What work in an unpacked archive leaves behind.
_NOT_OF_A_RELEASE: Final = frozenset({"__pycache__", ".venv", "var", "dist", ".git"})


class BadPackage(Exception):
    """An archive cannot be had, trusted or read; the message contains the reason and the cure."""


@dataclass(frozen=True, order=True)
class Age:
    """What decides which of two releases is the older one: the version, then the time of the commit."""

    version: tuple[int, ...]
    moment: int


@dataclass(frozen=True)
class Release:
    """A release as its own files tell: `name` is the one that it also has when it is built from git."""

    name: str
    commit: str
    version: str
    moment: int

    @property
    def age(self) -> Age:
        return Age(tuple(int(part) for part in re.findall(r"\d+", self.version)), self.moment)


def of_tree(tree: Path) -> Release | None:
    """The release of an unpacked archive, or of an installed tree; None for a checkout, which git describes."""
    try:
        return described((tree / _COMMIT).read_text(), (tree / VERSION_FILE).read_text())
    except OSError:
        return None


def of_archive(archive: Path) -> Release:
    """The release in an archive; reads all of it and raises BadPackage for whatever a release does not contain."""
    texts = {_COMMIT: "", VERSION_FILE: ""}
    with _opened(archive) as tar:
        for member, path in _members(tar):
            if path in texts:
                texts[path] = _text(tar, member)
        comment = tar.pax_headers.get("comment", "")
    release = described(texts[_COMMIT], texts[VERSION_FILE])
    if release is None or release.commit != comment:
        raise BadPackage(_("%(file)s is no release archive of left4me.") % {"file": archive.name})
    return release


def changelog(archive: Path) -> str:
    """The changelog in an archive. Raises BadPackage."""
    with _opened(archive) as tar:
        return next((_text(tar, member) for member, path in _members(tar) if path == _CHANGELOG), "")


def unpack(archive: Path, tree: Path) -> None:
    """Write the files of an archive into the directory `tree`, as a checkout would have them. Raises BadPackage."""
    with _opened(archive) as tar:
        for member, path in _members(tar):
            target = tree / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if member.isdir():
                target.mkdir(exist_ok=True)
            elif member.issym():
                target.symlink_to(member.linkname)
            else:
                source = tar.extractfile(member)
                with target.open("xb") as opened:
                    shutil.copyfileobj(source or io.BytesIO(), opened)
                target.chmod(0o755 if member.mode & 0o100 else 0o644)


def pack(tree: Path, release: Release, archive: Path) -> None:
    """Make an archive of an unpacked one, so that its release can be built again after the folder is gone."""

    def clean(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if PurePosixPath(member.name).name in _NOT_OF_A_RELEASE:
            return None
        member.uid = member.gid = 0
        member.uname = member.gname = "root"
        member.mtime = release.moment
        member.mode = 0o755 if member.mode & 0o100 else 0o644
        return member

    headers = {"comment": release.commit}
    with (
        archive.open("wb") as opened,
        gzip.GzipFile(filename="", mode="wb", fileobj=opened, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT, pax_headers=headers) as tar,
    ):
        tar.add(tree, arcname=f"left4me-{release.version}", filter=clean)


def described(commit_line: str, version: str) -> Release | None:
    """The release of a commit line and the text of the module with the version; None for other texts."""
    commit, named = _COMMIT_LINE.fullmatch(commit_line), _VERSION_LINE.search(version)
    if commit is None or named is None:
        return None
    # Ten digits, as git abbreviates a commit for the name of a release.
    return Release(f"{commit[3].replace('-', '')}-{commit[1][:10]}", commit[1], named[1], int(commit[2]))


@contextmanager
def _opened(archive: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(archive, "r:gz") as tar:
            yield tar
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        reason = _("%(file)s cannot be read as an archive: %(error)s. Get it again.")
        raise BadPackage(reason % {"file": archive.name, "error": error}) from error


def _members(tar: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, str]]:
    """Every member with its path in the release. Raises BadPackage for what `bin/release` does not write."""
    prefix, seen, links, size = "", set[str](), set[str](), 0
    for count, member in enumerate(tar, start=1):
        parts = PurePosixPath(member.name).parts
        prefix = prefix or (parts[0] if parts else "")
        path = "/".join(parts[1:])
        size += member.size
        above = {str(parent) for parent in PurePosixPath(path).parents}
        if (
            not prefix.startswith("left4me-")
            or parts[:1] != (prefix,)
            or ".." in parts
            or path in seen
            or above & links
            or not _is_of_a_release(member, path)
        ):
            raise BadPackage(_unexpected(member.name))
        if count > _MOST_MEMBERS or size > _MOST_BYTES:
            raise BadPackage(_("The archive contains more than a release of left4me can have."))
        seen.add(path)
        if member.issym():
            links.add(path)
        if path:
            yield member, path


def _is_of_a_release(member: tarfile.TarInfo, path: str) -> bool:
    """Whether it is a directory, a file without special bits, or a link that stays in the release."""
    if member.issym():
        target = os.path.normpath(PurePosixPath(path).parent / member.linkname)
        return not (member.linkname.startswith("/") or target.startswith(".."))
    return (member.isdir() or member.isreg()) and not member.mode & 0o7000


def _unexpected(name: str) -> str:
    return _(
        "The archive contains %(name)r, which no release of left4me contains. Do not use it, and get it again from "
        "where releases are published."
    ) % {"name": name}


def _text(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    source = tar.extractfile(member)
    return source.read(_MOST_TEXT).decode("utf-8", "replace") if source is not None else ""
