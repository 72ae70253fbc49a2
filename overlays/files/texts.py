"""Reading and writing of small text files that users edit in the browser."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from django.utils.translation import gettext as _

from left4me.core.files.tree import BadPath, Parts, Tree
from left4me.core.web import refusals

LARGEST = 256 * 1024
_ENDINGS = (".cfg", ".txt", ".ini", ".nut", ".vdf", ".res", ".json", ".sp", ".inc", ".md", ".gam", ".db", ".sh")


class Stale(refusals.Stale):
    """Another text was saved since the caller read this one; `current` is that text."""

    def __init__(self, current: Text) -> None:
        super().__init__(_("This file was changed meanwhile. Save again to put your text over it."), current=current)


@dataclass(frozen=True)
class Text:
    content: str
    # A hash of the content; the client sends it back with a change.
    version: str


def is_text(name: str) -> bool:
    return name.lower().endswith(_ENDINGS)


def read(tree: Tree, where: Parts) -> Text:
    """Read a UTF-8 text. Raises BadPath for a file that is too large or not text."""
    if not where or not is_text(where[-1]):
        raise BadPath(_("This kind of file is not edited here."))
    with tree.open(where) as stream:
        raw = stream.read(LARGEST + 1)
    if len(raw) > LARGEST:
        raise BadPath(_("This file is too large to be edited here: download it."))
    try:
        return Text(raw.decode("utf-8-sig"), hashlib.sha256(raw).hexdigest()[:32])
    except UnicodeDecodeError:
        raise BadPath(_("This file is not UTF-8 text: download it.")) from None


def write(tree: Tree, where: Parts, content: str, *, seen: str) -> None:
    """Replace the text that was read as version `seen` (empty for a new file). Raises Stale and BadPath."""
    if not where or not is_text(where[-1]):
        raise BadPath(_("This kind of file is not edited here."))
    raw = content.replace("\r\n", "\n").encode()
    if len(raw) > LARGEST:
        raise BadPath(_("This text is too large."))
    try:
        current = read(tree, where)
    except BadPath:
        current = None
    if current is not None and current.version != seen:
        raise Stale(current)
    with tree.writing(where) as stream:
        stream.write(raw)
