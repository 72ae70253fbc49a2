"""Cleans lines of output before they are stored: control characters removed, secrets masked, length limited."""

from __future__ import annotations

import re

from left4me.core.masks import Masker
from left4me.jobs.models import LONGEST_LINE

# Terminal sequences (colours, cursor movements, window titles), then single control characters; also marks that change
# the text direction, with which a line could imitate another.
_TERMINAL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-Z\\-_]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def clean(text: str, mask: Masker | None = None) -> str:
    """Return `text` as one line without control characters and secrets, of at most 4,096 characters."""
    if not text.isprintable():
        text = _CONTROL.sub("", _TERMINAL.sub("", text)).replace("\n", " ")
    # After the control characters, which could split a secret, and before the cut, which could leave half of one.
    if mask is not None:
        text = mask(text)
    if len(text) > LONGEST_LINE:
        left_out = f" … ({len(text)} characters)"
        text = text[: LONGEST_LINE - len(left_out)] + left_out
    return text
