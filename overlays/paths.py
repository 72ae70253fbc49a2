"""Paths of overlays on disk, and validation of user-supplied paths inside them."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.utils.translation import gettext as _

from left4me.core import texts
from left4me.core.files import walk
from overlays.models import Overlay

# An overlay's own configuration; servers execute it when the overlay has `expose_cfg`.
CFG = PurePosixPath("left4dead2/cfg/server.cfg")
LONGEST_CFG = 256 * 1024


def root() -> Path:
    return Path(settings.LEFT4ME_ROOT) / "overlays"


def directory(overlay: Overlay) -> Path:
    """The absolute path of the overlay's directory, which may not exist yet."""
    return root() / overlay.path


def clean_path(text: str, *, overlays: Path | None = None) -> str:
    """Normalise a user-supplied path relative to the overlay root.

    Raises ValidationError unless it is below the root, also after following symbolic links, and not the root itself.
    """
    overlays = overlays or root()
    path = PurePosixPath(text.strip())
    if path.is_absolute() or ".." in path.parts or "\0" in text or "\\" in text:
        raise ValidationError(_("Enter a path below the overlay root, without “..”."), code="outside")
    if not path.parts:
        raise ValidationError(_("The overlay root itself cannot be an overlay."), code="root")
    resolved_root = overlays.resolve()
    resolved = (resolved_root / path).resolve()
    if resolved == resolved_root:
        raise ValidationError(_("The overlay root itself cannot be an overlay."), code="root")
    if not resolved.is_relative_to(resolved_root):
        raise ValidationError(
            _("This path leaves the overlay root through a symbolic link. Enter another path."), code="outside"
        )
    return str(path)


def refuse_overlap(path: str, *, besides: int | None = None) -> None:
    """Raise ValidationError if another overlay is at `path`, or in a directory above or below it.

    Deleting or building one of the two overlays would change the other.
    """
    above = [str(parent) for parent in PurePosixPath(path).parents][:-1]
    others = Overlay.objects.exclude(Q(pk=besides))
    if others.filter(path__in=[path, *above]).exists() or others.filter(path__startswith=f"{path}/").exists():
        raise ValidationError(
            _("Another overlay uses this directory, or one above or below it. Enter another path."), code="overlap"
        )


def read_cfg(tree: Path) -> str | None:
    """The text of an overlay's own server.cfg in whatever encoding it is, without byte order mark; or None.

    Symbolic links are not followed: the content is untrusted, and this text is executed by a game.
    """
    try:
        with walk.open_below(tree, CFG.parts) as stream:
            return texts.decode(stream.read(LONGEST_CFG)).text
    except OSError:
        return None
