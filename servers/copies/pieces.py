"""Cuts the stream of a server's files into pieces which are the same again where the files are the same.

Where a piece ends depends on what stands there, not on its distance from the beginning: so a file that has grown
changes the pieces that hold it, and none of those after it.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator
from typing import Final

from servers.gamehost import parcels
from servers.hosts.server_steps import SENT_AT_ONCE

# A large file is cut at each multiple of this.
_STRIDE: Final = 2 * parcels.PIECE
# On average, so many small entries are in one piece.
_ENTRIES: Final = 64
# What marks the line before the bytes of a file.
_AT: Final = b'{"at": '


def cut(stream: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, in pieces of at most `SENT_AT_ONCE`. Takes the stream of `parcels.pack`, whose parts are lines,
    and bytes of files after lines that tell of them."""
    piece = bytearray()
    is_content = is_large = False
    for part in stream:
        is_place = not is_content and part.startswith(_AT)
        begins = False
        if is_place:
            at, is_full = _place(part)
            begins = at % _STRIDE == 0 and (is_full or at > 0)
            is_large = is_full or at > 0
        elif not is_content:
            # What follows on a large file does not share its last piece.
            begins = is_large or zlib.crc32(part) % _ENTRIES == 0
            is_large = False
        if piece and (begins or len(piece) + len(part) > SENT_AT_ONCE):
            yield bytes(piece)
            piece.clear()
        piece += part
        is_content = is_place
    if piece:
        yield bytes(piece)


def _place(line: bytes) -> tuple[int, bool]:
    """Where the bytes after this line are in their file, and whether they are as many as there can be."""
    told = json.loads(line)
    return told["at"], told["bytes"] == parcels.PIECE
