"""Parses the text pasted into the form for workshop items: any number of ids and links to items or collections."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from django.utils.translation import gettext as _

from left4me.core.web.ids import LARGEST_ID

LONGEST_INPUT = 200_000
MOST_IDS = 2_000

_HOSTS = ("steamcommunity.com", "www.steamcommunity.com", "m.steamcommunity.com")
_ID = re.compile(r"[0-9]{1,19}")
_STEAM_LINK = re.compile(r"steam://(?:url/CommunityFilePage|openurl/https?://[^ ]*[?&]id=)/?(\d{1,19})", re.ASCII)


@dataclass(frozen=True)
class Problem:
    """A part of the input, `text`, that is neither an id nor a link."""

    line: int
    text: str
    reason: str

    def __str__(self) -> str:
        return _("Line %(line)d: “%(text)s” %(reason)s") % {
            "line": self.line,
            "text": self.text,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Parsed:
    ids: tuple[int, ...]
    problems: tuple[Problem, ...]


def parse(text: str) -> Parsed:
    """The ids in `text`, in order and without duplicates, and the parts that are neither ids nor workshop links.

    Spaces, commas and semicolons separate parts of a line; text after a `#` is a comment.
    """
    if len(text) > LONGEST_INPUT:
        return Parsed(
            (), (Problem(1, text[:20] + "…", _("is the start of a text that is too long; paste fewer links")),)
        )
    ids: dict[int, None] = {}
    problems: list[Problem] = []
    for number, line in enumerate(text.splitlines(), start=1):
        for part in re.split(r"[\s,;]+", re.sub(r"(^|\s)#.*", "", line)):
            part = part.strip("<>()[]\"'")
            if not part:
                continue
            try:
                ids[_parse_part(part)] = None
            except ValueError as error:
                problems.append(Problem(number, part[:80], str(error)))
            if len(ids) > MOST_IDS:
                reason = _("exceeds the %(most)d items that can be added at once; add the rest afterwards") % {
                    "most": MOST_IDS
                }
                return Parsed((), (Problem(number, part[:80], reason),))
    return Parsed(tuple(ids), tuple(problems))


def _parse_part(part: str) -> int:
    """The id in one part. Raises ValueError with a reason for the user."""
    if part.isascii() and part.isdigit():
        return _id(part)
    if match := _STEAM_LINK.match(part):
        return _id(match[1])
    if "steamcommunity.com" not in part.lower():
        raise ValueError(_("is not a workshop ID or a Steam Workshop link"))
    try:
        link = urlsplit(part if "://" in part else f"https://{part}")
        host = link.hostname or ""
    except ValueError:
        raise ValueError(_("is not a valid link")) from None
    if link.scheme not in ("http", "https") or host not in _HOSTS:
        raise ValueError(_("is not a link to steamcommunity.com"))
    if link.path.startswith(("/profiles/", "/id/")):
        raise ValueError(_("is a link to a Steam profile; open an item or collection and copy its link"))
    if "filedetails" not in link.path:
        raise ValueError(_("is a Steam page, but not a workshop item or collection"))
    return _id(parse_qs(link.query).get("id", [""])[0])


def _id(digits: str) -> int:
    if not _ID.fullmatch(digits):
        raise ValueError(_("contains no workshop ID"))
    number = int(digits)
    if not 0 < number <= LARGEST_ID:
        raise ValueError(_("is not a valid workshop ID"))
    return number
