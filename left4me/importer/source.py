"""The directory that is imported. It is opened for reading only, and no link in it is followed.

What it contains is untrusted: every path is opened by `walk`, component by component, so that nothing outside of the
directory is read.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Literal

from django.conf import settings
from django.utils.translation import gettext as _

from left4me.core import texts
from left4me.core.files import tree, walk
from left4me.core.files.tree import BadPath, Parts

# More than any installation with its addons has.
MOST_FILES: Final = 500_000
_LARGEST_TEXT: Final = 512 * 1024
_HOMES: Final = Path("/home")

Kind = Literal["file", "folder", "link", "special", "unreadable", "bad_name"]


class BadSource(Exception):
    """The directory cannot be imported; the message says why, and what helps."""


@dataclass(frozen=True)
class Entry:
    """Something in the directory, at `where` below its top; a link has its target."""

    where: Parts
    kind: Kind
    size: int = 0
    modified_ns: int = 0
    is_marked: bool = False
    target: str = ""


class Source:
    """An open directory. Use as a context manager."""

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self._handle = handle

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_exception: object) -> None:
        os.close(self._handle)

    def list(self, where: Parts = ()) -> list[Entry]:
        """What is in one folder, by name; empty if it cannot be read."""
        try:
            with walk.folder(self._handle, where) as handle:
                found = sorted(walk.scan(handle), key=lambda pair: pair[0])
                return [self._entry(where, name, status, handle) for name, status in found]
        except OSError:
            return []

    def walk(self, where: Parts = ()) -> Iterator[Entry]:
        """Everything below a folder but the folders themselves; those that cannot be read are among it."""
        if not self.is_folder(where):
            yield Entry(where, "unreadable")
            return
        for entry in self.list(where):
            if entry.kind != "folder":
                yield entry
            elif len(entry.where) <= tree.DEEPEST:
                yield from self.walk(entry.where)

    def open(self, where: Parts) -> BinaryIO:
        """A regular file, for reading. Raises OSError for anything else, also for a link on the way."""
        with walk.folder(self._handle, where[:-1]) as handle:
            return walk.open_file(where[-1], at=handle)

    def text(self, where: Parts) -> str:
        """The text of a file in whatever encoding it is; empty if it cannot be read or is too large for a text."""
        try:
            with self.open(where) as stream:
                raw = stream.read(_LARGEST_TEXT + 1)
        except OSError:
            return ""
        return texts.decode(raw).text.replace("\0", "") if len(raw) <= _LARGEST_TEXT else ""

    def is_folder(self, where: Parts) -> bool:
        try:
            with walk.folder(self._handle, where):
                return True
        except OSError:
            return False

    def is_file(self, where: Parts) -> bool:
        try:
            self.open(where).close()
        except (OSError, IndexError):
            return False
        return True

    def entry(self, where: Parts) -> Entry | None:
        """One file, link or folder; None if there is none."""
        return next((each for each in self.list(where[:-1]) if each.where == where), None) if where else None

    def _entry(self, where: Parts, name: str, status: os.stat_result, handle: int) -> Entry:
        here = (*where, name)
        if not _is_usable(here):
            return Entry((*where, _printable(name)), "bad_name")
        mode, marked = status.st_mode, bool(status.st_mode & stat.S_IXUSR)
        if stat.S_ISLNK(mode):
            return Entry(here, "link", target=walk.target(name, at=handle))
        if stat.S_ISDIR(mode):
            return Entry(here, "folder")
        if not stat.S_ISREG(mode):
            return Entry(here, "special")
        kind: Kind = "file" if walk.is_readable(name, at=handle) else "unreadable"
        return Entry(here, kind, status.st_size, status.st_mtime_ns, marked)


def _printable(name: str) -> str:
    """A name that can be shown: what is no text, or would control a terminal, is written out."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in name)


def _is_usable(where: Parts) -> bool:
    try:
        return len(tree.parts("/".join(where))) == len(where)
    except BadPath:
        return False


def open_source(text: str, *, below: Sequence[Path] | None) -> Source:
    """Open the directory that a user names; with `below`, only one in or below these directories. Raises BadSource."""
    path = checked_path(text, below=below)
    root = next((each for each in below or () if path.is_relative_to(each)), Path("/"))
    try:
        with walk.folder(root, path.relative_to(root).parts) as handle:
            # A folder that may be entered but not listed shows here.
            next(walk.scan(handle), None)
            return Source(path, os.dup(handle))
    except PermissionError:
        raise BadSource(_unreadable(path)) from None
    except OSError as fault:
        raise BadSource(
            _("%(path)s is no directory that can be opened: %(reason)s.") % {"path": path, "reason": fault.strerror}
        ) from fault


def checked_path(text: str, *, below: Sequence[Path] | None) -> Path:
    """The path that a user typed, as far as it can be judged without opening it. Raises BadSource."""
    path = Path(text.strip())
    if not path.is_absolute() or ".." in path.parts or "\0" in text or not text.isprintable():
        raise BadSource(_("Enter the full path of a directory on this machine, such as /srv/l4d2server."))
    if len(path.parts) < 2:
        raise BadSource(_("Enter the directory of one server, not that of the whole machine."))
    real, own = Path(os.path.realpath(path)), Path(os.path.realpath(settings.LEFT4ME_ROOT))
    if real.is_relative_to(own) or own.is_relative_to(real):
        raise BadSource(_("This directory contains left4me's own data, or is part of it. Choose another one."))
    if real != path:
        raise BadSource(_("A part of this path is a symbolic link. Enter the path that it leads to: %s") % real)
    if below is not None and not any(path.is_relative_to(each) for each in below):
        places = ", ".join(map(str, below)) or "—"
        raise BadSource(
            _("Only directories below %s can be imported here. LEFT4ME_IMPORT_FROM allows others.") % places
        )
    return path


def _unreadable(path: Path) -> str:
    """What gives read access to the user that runs left4me, and nobody else."""
    account = pwd.getpwuid(os.geteuid()).pw_name
    if path.is_relative_to(_HOMES) and not os.access(_HOMES, os.X_OK):
        return (
            _(
                "The worker of left4me sees no home directories (ProtectHome in its unit). As root, run: "
                "left4mectl manage import_server %s --owner NAME"
            )
            % path
        )
    closed = next((each for each in reversed(path.parents) if not os.access(each, os.X_OK)), None)
    through = f"setfacl -m u:{account}:x {closed} && " if closed else ""
    return _(
        "The user %(account)s, which runs left4me, cannot read %(path)s. As root, run: %(command)s. Then try again."
    ) % {"account": account, "path": path, "command": f"{through}setfacl -R -m u:{account}:rX {path}"}
