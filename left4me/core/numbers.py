"""Reads whole numbers that somebody else has written.

`int` is too generous for that: it takes the digits of every script, which `str.isdigit` also finds in “²”, and raises
ValueError for more than 4,300 of them.
"""

from __future__ import annotations


def whole(text: str, *, most: int) -> int | None:
    """The number from 0 to `most` that `text` consists of; None for any other text."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most))):
        return None
    number = int(text)
    return number if number <= most else None
