"""The texts that the game shows to players: the message of the day and the banner."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

# The game loads nothing of a file with more bytes. Releases of its engine differ by one byte; this suits all.
LONGEST: Final = 2047
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


class TextKind(StrEnum):
    ADDRESS = "address"
    PAGE = "page"
    TEXT = "text"


def kind_of(text: str) -> TextKind | None:
    """What the game makes of a text, by its first characters; None for an empty one."""
    if not text:
        return None
    if text.startswith(("http://", "https://")):
        return TextKind.ADDRESS
    return TextKind.PAGE if text.startswith("<") else TextKind.TEXT


def normal(text: str) -> str:
    """The text as it is stored and written: a browser sends two characters for each end of a line."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def is_game_text(text: str) -> None:
    """Raise ValidationError for what the game would not show."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > LONGEST:
        raise ValidationError(
            _("This text has %(size)d bytes, and the game shows at most %(most)d. Shorten it, or enter an address.")
            % {"size": size, "most": LONGEST}
        )
    if match := _CONTROL.search(text):
        raise ValidationError(_("This text contains a control character (U+%04X). Remove it.") % ord(match.group()))
    if kind_of(text) == TextKind.ADDRESS and len(text.split()) > 1:
        raise ValidationError(_("The game opens the whole text as one address. Remove what follows it."))
