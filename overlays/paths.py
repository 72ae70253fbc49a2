"""Where overlays stand on a host's disk, and what is true of the paths of theirs that people type."""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack
from pathlib import Path, PurePosixPath

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.utils.translation import gettext as _

from overlays.models import Overlay

# An overlay's own configuration, executed on a server when the overlay exposes it.
CFG = PurePosixPath("left4dead2/cfg/server.cfg")
LONGEST_CFG = 256 * 1024


def root() -> Path:
    return Path(settings.LEFT4ME_ROOT) / "overlays"


def directory(overlay: Overlay) -> Path:
    """The overlay's tree, as an absolute path; it need not exist yet."""
    return root() / overlay.path


def clean_path(text: str, *, overlays: Path | None = None) -> str:
    """Return a typed directory in its one spelling; raises ValidationError unless it lies below the overlay root,
    also after following symbolic links, and is neither the root itself nor inside or around another overlay."""
    overlays = overlays or root()
    path = PurePosixPath(text.strip())
    if path.is_absolute() or ".." in path.parts or "\0" in text or "\\" in text:
        raise ValidationError(_("Write a path below the overlay root, without “..”."), code="outside")
    if not path.parts:
        raise ValidationError(_("The overlay root itself cannot be an overlay."), code="root")
    resolved_root = overlays.resolve()
    resolved = (resolved_root / path).resolve()
    if resolved == resolved_root:
        raise ValidationError(_("The overlay root itself cannot be an overlay."), code="root")
    if not resolved.is_relative_to(resolved_root):
        raise ValidationError(_("A symbolic link leads this path out of the overlay root."), code="outside")
    return str(path)


def refuse_overlap(path: str, *, besides: int | None = None) -> None:
    """Raise ValidationError when another overlay stands at `path`, above it or below it: deleting or rebuilding
    one of the two would change the other."""
    above = [str(parent) for parent in PurePosixPath(path).parents][:-1]
    others = Overlay.objects.exclude(Q(pk=besides))
    if others.filter(path__in=[path, *above]).exists() or others.filter(path__startswith=f"{path}/").exists():
        raise ValidationError(_("Another overlay uses this directory, or one above or below it."), code="overlap")


def read_cfg(tree: Path) -> str | None:
    """The text of an overlay's own server.cfg, None where it has none.

    Follows no symbolic link: the tree's content is untrusted, and what is read here ends up in a game.
    """
    unfollowed = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    with ExitStack() as opened:
        try:
            handle = os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            opened.callback(os.close, handle)
            for part in CFG.parts[:-1]:
                handle = os.open(part, unfollowed | os.O_DIRECTORY, dir_fd=handle)
                opened.callback(os.close, handle)
            # Without O_NONBLOCK a FIFO in the tree would hold the start for ever.
            file = os.open(CFG.name, unfollowed | os.O_NONBLOCK, dir_fd=handle)
        except OSError:
            return None
        with os.fdopen(file, "rb") as stream:
            is_file = stat.S_ISREG(os.fstat(file).st_mode)
            return stream.read(LONGEST_CFG).decode("utf-8", "replace") if is_file else None
