"""Decodes text files of unknown encoding, as people and Windows programs write them."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

UTF8: Final = "utf_8"
# Encodings by the byte order mark that announces them.
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf_8_sig"),
    (codecs.BOM_UTF16_LE, "utf_16_le"),
    (codecs.BOM_UTF16_BE, "utf_16_be"),
)
# Code pages in which each usual character takes two bytes, with the lead bytes of the usual ones.
_LEADS: Final = {
    "gb18030": (*range(0xA1, 0xA4), *range(0xB0, 0xD8)),
    "big5": (*range(0xA1, 0xC7),),
    "cp932": (*range(0x81, 0x84), *range(0x88, 0x98)),
    "cp949": (*range(0xA1, 0xA4), *range(0xB0, 0xC9)),
}
# Code pages of one byte, with the usual characters.
_CYRILLIC: Final = frozenset("абвгдеёжзийклмнопрстуфхцчшщъыьэюяіїєґ№«»–—")
_WESTERN: Final = frozenset("äöüßéèêëàâáçñíìîïóòôõúùûãåæøœ¡¿«»°©®™’‘“”„–—…€´·")
_CENTRAL: Final = frozenset("ąćęłńóśźżčďěňřšťůýžáéíúôőűăâîşţäöüßđ„”’–—…€")
_LATIN: Final = {"cp1252": _WESTERN, "cp437": _WESTERN, "cp850": _WESTERN, "cp1250": _CENTRAL, "cp852": _CENTRAL}
_CODE_PAGES: Final = ("gb18030", "cp1251", "cp1252", "big5", "cp932", "cp949", "cp1250", "cp866")
_SAMPLE_BYTES: Final = 20_000
_PROBE_BYTES: Final = 512
_KOREAN: Final = 6
_KANA: Final = 4


@dataclass(frozen=True)
class Decoded:
    """A text without its byte order mark, and the Python name of the encoding that it was read in."""

    text: str
    encoding: str


def decode(raw: bytes) -> Decoded:
    """Decode by the byte order mark, else as UTF-16 or UTF-8, else in the code page that fits best. Never raises."""
    mark, encoding = _mark_of(raw)
    if not encoding:
        encoding = _utf_16_of(raw) or _code_page_of(raw)
    return Decoded(
        raw[len(mark) :].decode("utf_8" if mark and encoding == "utf_8_sig" else encoding, "replace"), encoding
    )


def is_unexecutable(head: bytes) -> bool:
    """Whether the game could not execute a cfg that begins like this: it has a byte order mark, or is UTF-16."""
    return bool(_mark_of(head)[1] or _utf_16_of(head))


def decodes(raw: bytes, encoding: str) -> bool:
    try:
        raw.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def detect(raw: bytes, code_pages: Sequence[str]) -> str:
    """Return the one of `code_pages` in which the largest share of the characters is usual; of equals the first.

    A detector of languages needs sentences; these texts are a few words of comment between commands, or file names.
    """
    fitting = [page for page in code_pages if decodes(raw, page)]
    lines = [line for line in raw.split(b"\n") if not line.isascii()]
    sample = b"\n".join(lines)[:_SAMPLE_BYTES]
    return max(fitting, key=lambda page: _fit(sample.decode(page, "ignore"), page), default="cp1252")


def _mark_of(raw: bytes) -> tuple[bytes, str]:
    return next(((mark, encoding) for mark, encoding in _MARKS if raw.startswith(mark)), (b"", ""))


def _utf_16_of(raw: bytes) -> str:
    """The byte order of UTF-16 without a mark: every second byte of Latin letters, digits and line ends is zero."""
    head = raw[:_PROBE_BYTES]
    if len(head) < 4 or head.count(0) * 5 < len(head):
        return ""
    return "utf_16_le" if head[1::2].count(0) >= head[0::2].count(0) else "utf_16_be"


def _code_page_of(raw: bytes) -> str:
    return UTF8 if decodes(raw, UTF8) else detect(raw, _CODE_PAGES)


def _fit(text: str, page: str) -> tuple[float, bool]:
    """The share of usual characters; of two that fit equally well, the second value prefers one."""
    marks = [at for at, character in enumerate(text) if not character.isascii()]
    share = sum(_is_usual(text, at, page) for at in marks) / max(1, len(marks))
    # The bytes of Korean are also Chinese, and those of kana also French; but no text of some length has only those.
    is_korean = page == "cp949" and len(marks) >= _KOREAN
    is_japanese = page == "cp932" and sum("\u3041" <= text[at] <= "\u30ff" for at in marks) >= _KANA
    return share, is_korean or is_japanese


def _is_usual(text: str, at: int, page: str) -> bool:
    character, before, after = text[at], text[at - 1 : at], text[at + 1 : at + 2]
    if page in _LEADS:
        code = character.encode(page)
        # GBK puts rare characters below 0xA1 in the second byte, the other pages do not.
        return len(code) == 2 and code[0] in _LEADS[page] and (page not in ("gb18030", "cp949") or code[1] > 0xA0)
    # Nobody writes a capital letter after a small one, or a single one between other letters.
    if character.isupper() and (before.islower() or (before.isalpha() and after.islower())):
        return False
    if page in _LATIN:
        return character.lower() in _LATIN[page]
    has_latin_neighbour = any(each.isascii() and each.isalpha() for each in (before, after))
    return character.lower() in _CYRILLIC and not has_latin_neighbour
