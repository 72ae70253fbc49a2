"""Reading and writing of small text files that users edit in the browser."""

from __future__ import annotations

import codecs
import hashlib
import os
from dataclasses import dataclass

from django.utils.translation import gettext as _

from left4me.core import texts
from left4me.core.files.tree import BadPath, Parts, Tree
from left4me.core.web import refusals
from overlays import game_files

LARGEST = 256 * 1024
_ENDINGS = (".cfg", ".txt", ".ini", ".nut", ".vdf", ".res", ".json", ".sp", ".inc", ".md", ".gam", ".db", ".sh")


class Stale(refusals.Stale):
    """Another text was saved since the caller read this one; `current` is that text."""

    def __init__(self, current: Text) -> None:
        super().__init__(_("Someone else changed this file. Save again to overwrite their changes."), current=current)


@dataclass(frozen=True)
class Text:
    content: str
    # A hash of the content; the client sends it back with a change.
    version: str
    # The encoding that saving replaces by UTF-8, as it is shown; empty for a text that keeps its encoding.
    converted_from: str
    is_utf_16: bool


def is_text(name: str) -> bool:
    return name.lower().endswith(_ENDINGS)


def read(tree: Tree, where: Parts) -> Text:
    """Read a text in whatever encoding it is. Raises BadPath for a file that is too large or not text."""
    if not where or not is_text(where[-1]):
        raise BadPath(_("This kind of file cannot be edited here. Download it instead."))
    with tree.open(where) as stream:
        raw = stream.read(LARGEST + 1)
    if len(raw) > LARGEST:
        raise BadPath(_("This file is too large to edit here. Download it instead."))
    decoded = texts.decode(raw)
    if any(character < " " and character not in "\t\n\r\f" for character in decoded.text) or "\ufffd" in decoded.text:
        raise BadPath(_("This file is not text. Download it instead."))
    # The game reads some of its own texts, such as those below `resource`, as UTF-16 only.
    is_utf_16 = decoded.encoding.startswith("utf_16") and not game_files.is_read_as_utf8(where)
    converted_from = "" if is_utf_16 or decoded.encoding == texts.UTF8 else game_files.title(decoded.encoding)
    return Text(decoded.text, hashlib.sha256(raw).hexdigest()[:32], converted_from, is_utf_16)


def write(tree: Tree, where: Parts, content: str, *, seen: str, room: int | None = None) -> int:
    """Replace the text that was read as version `seen` (empty for a new file); returns by how many bytes it grew.

    Raises Stale, and BadPath also if it would grow by more than `room`.
    """
    if not where or not is_text(where[-1]):
        raise BadPath(_("This kind of file cannot be edited here. Download it instead."))
    try:
        current = read(tree, where)
    except BadPath:
        current = None
    raw = content.replace("\r\n", "\n").encode()
    if current is not None and current.is_utf_16:
        raw = codecs.BOM_UTF16_LE + content.encode("utf_16_le")
    if len(raw) > LARGEST:
        raise BadPath(_("This text is too long. Upload it as a file instead."))
    if current is not None and current.version != seen:
        raise Stale(current)
    grows = len(raw) - _size(tree, where)
    if room is not None and grows > max(0, room):
        raise BadPath(
            _("This exceeds your quota; %(left)d MB are left. Delete files, or ask an admin for more.")
            % {"left": max(0, room) // 1_000_000}
        )
    with tree.writing(where) as stream:
        stream.write(raw)
    return grows


def _size(tree: Tree, where: Parts) -> int:
    try:
        with tree.open(where) as stream:
            return stream.seek(0, os.SEEK_END)
    except BadPath:
        return 0
