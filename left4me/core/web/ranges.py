"""Downloads that a client continues where its connection broke, as during an upgrade.

Browsers continue a download by themselves when its response has a validator and accepts `Range`. With `If-Range`, they
get the rest only while the content is the same, and otherwise all of it again.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, Final

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.http import content_disposition_header

_RANGE: Final = re.compile(r"bytes=(\d{1,15})-(\d{0,15})\Z")
_PIECE: Final = 256 * 1024


class Asked:
    """What a request wants of a content: all of it, or the bytes from `start` on."""

    def __init__(self, request: HttpRequest) -> None:
        found = _RANGE.match(request.headers.get("Range", ""))
        self._condition = request.headers.get("If-Range", "")
        self.is_part = found is not None
        self.start = int(found[1]) if found else 0
        self.last = int(found[2]) if found and found[2] else None

    def start_in(self, tag: str) -> int:
        """Where the response begins when the content has this tag: at 0 if the client has a part of another one."""
        if self._condition and self._condition != tag:
            self.is_part, self.start, self.last = False, 0, None
        return self.start


def tag_of(*facts: object) -> str:
    """The ETag of a content that these facts tell from every other."""
    return f'"{hashlib.sha256(repr(facts).encode()).hexdigest()[:32]}"'


def response(
    asked: Asked,
    *,
    size: int,
    tag: str,
    filename: str,
    content_type: str,
    pieces: Callable[[int, int], Iterable[bytes]],
) -> HttpResponseBase:
    """A download of the part that was requested. `pieces` gets its first byte and the byte after its last one.

    Always an attachment: browsers must not show content of users as a page of this site.
    """
    start = asked.start_in(tag)
    end = size if asked.last is None else min(asked.last + 1, size)
    if asked.is_part and start >= end:
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{size}"})
    headers = {
        "Content-Type": content_type,
        "Content-Disposition": content_disposition_header(as_attachment=True, filename=filename) or "attachment",
        "Content-Length": str(end - start),
        "Accept-Ranges": "bytes",
        "ETag": tag,
    }
    if asked.is_part:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return StreamingHttpResponse(pieces(start, end), status=206 if asked.is_part else 200, headers=headers)


def file_response(request: HttpRequest, file: BinaryIO, *, filename: str, content_type: str) -> HttpResponseBase:
    """A download of an open file, or of the part that was requested. The file is closed with the response."""
    found = os.fstat(file.fileno())
    answer = response(
        Asked(request),
        size=found.st_size,
        tag=tag_of(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns),
        filename=filename,
        content_type=content_type,
        pieces=lambda start, end: _Part(file, start, end),
    )
    if not answer.streaming:
        file.close()
    return answer


class _Part:
    """The bytes of a file from `start` up to `end`."""

    def __init__(self, file: BinaryIO, start: int, end: int) -> None:
        self._file = file
        self._file.seek(start)
        self._left = end - start

    def __iter__(self) -> Iterator[bytes]:
        while self._left > 0 and (piece := self._file.read(min(_PIECE, self._left))):
            self._left -= len(piece)
            yield piece

    def close(self) -> None:
        self._file.close()
