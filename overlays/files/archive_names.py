"""Decodes the names of a zip archive's entries, which carry no mark of the code page they were written in.

A zip entry is either marked as UTF-8 or its name is in "the" code page of the machine that packed it: the DOS code
page of a Russian, Chinese or German Windows, or whatever the packing program chose. All names of an archive were
written by one program, so they are judged together: a single name is too short to tell code pages apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext_lazy as _

from left4me.core import texts

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

UTF8: Final = texts.UTF8
# DOS code pages stand before the others: Windows Explorer writes them, so they win where two fit equally well.
CODE_PAGES: Final[dict[str, StrPromise]] = {
    UTF8: _("Unicode (UTF-8)"),
    "cp437": _("Western European (DOS, US)"),
    "cp850": _("Western European (DOS)"),
    "cp866": _("Cyrillic (DOS)"),
    "gb18030": _("Simplified Chinese (GBK)"),
    "big5": _("Traditional Chinese (Big5)"),
    "cp932": _("Japanese (Shift-JIS)"),
    "cp949": _("Korean"),
    "cp1251": _("Cyrillic (Windows)"),
    "cp1252": _("Western European (Windows)"),
    "cp852": _("Central European (DOS)"),
    "cp1250": _("Central European (Windows)"),
}
# Some 3,000 names: more of them make the judgement slower and not better.
_SAMPLE_BYTES: Final = 100_000


@dataclass(frozen=True)
class DecodedNames:
    """The names of all entries in order, and the code page of those without a mark ("" if these are ASCII)."""

    names: list[str]
    code_page: str


def decode(raw_names: Sequence[bytes | str], *, code_page: str = "") -> DecodedNames:
    """Decode the names that are bytes; those that are text already stay as they are.

    Without `code_page` the one that fits best is chosen. A byte that the code page does not know becomes a replacement
    character, so that the entry is still shown and can be left out by name.
    """
    unknown = [name for name in raw_names if isinstance(name, bytes)]
    if all(name.isascii() for name in unknown):
        return DecodedNames([_text(name, "ascii") for name in raw_names], "")
    chosen = code_page if code_page in CODE_PAGES else detect(unknown)
    return DecodedNames([_text(name, chosen) for name in raw_names], chosen)


def detect(raw_names: Iterable[bytes]) -> str:
    """Return the code page in which these names most likely read as words."""
    sample = b"\n".join(name for name in raw_names if not name.isascii())[:_SAMPLE_BYTES]
    if texts.decodes(sample, UTF8):
        return UTF8
    return texts.detect(sample, [page for page in CODE_PAGES if page != UTF8])


def _text(name: bytes | str, code_page: str) -> str:
    return name if isinstance(name, str) else name.decode(code_page, "replace")
