"""The server of replication: an ASGI application on the web that sends overlays to other hosts.

It is separate from Django's handler because a transfer may last for hours: here it occupies a task, there one of a
few threads. `GET` returns the manifest; `POST` with a list of paths returns those files one after the other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from django.conf import settings

from left4me.core.files import tree
from left4me.core.web import asgi
from left4me.core.web.asgi import Refusal
from left4me.jobs.models import Job
from overlays import paths
from overlays.models import Overlay
from overlays.replication import manifest

PATH = re.compile(r"/api/v1/hosts/self/overlays/([1-9]\d{0,17})/content")
MOST_FILES_AT_ONCE = 2_000
_LONGEST_REQUEST = 4 * 1024 * 1024
_CHUNK = 256 * 1024
_LINES_AT_ONCE = 500
# For disk reads and hashing. A transfer that waits for the network occupies none of them.
_THREADS = 4
_JSON_LINES = [(b"content-type", b"application/x-ndjson"), (b"cache-control", b"no-store")]
_BYTES = [(b"content-type", b"application/octet-stream"), (b"cache-control", b"no-store")]

Pieces = Iterator[bytes]
# Returns the overlay with this id if the host identified by the headers may fetch it. Raises Refusal.
Find = Callable[[asgi.Headers, int], Overlay]


class Application(asgi.Application):
    """The ASGI application; `find` authorises a request."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="overlay-content")

    def serves(self, path: str) -> bool:
        return PATH.fullmatch(path) is not None

    async def answer(self, scope: asgi.Scope, headers: asgi.Headers, receive: asgi.Receive, send: asgi.Send) -> None:
        content_type, pieces = await self._open(scope, headers, receive)
        await asgi.start(send, content_type)
        await asgi.send_pieces(pieces, receive, send, threads=self._threads)

    async def _open(
        self, scope: asgi.Scope, headers: asgi.Headers, receive: asgi.Receive
    ) -> tuple[asgi.RawHeaders, Pieces]:
        match = PATH.fullmatch(scope["path"])
        if match is None:
            raise Refusal(404, "Not found")
        overlay = await asgi.in_thread(self._threads, asgi.with_database, self._find, headers, int(match[1]))
        if scope["method"] == "GET":
            if await asgi.in_thread(self._threads, asgi.with_database, _is_being_built, overlay):
                raise Refusal(409, "This overlay is being built")
            return _JSON_LINES, manifest_pieces(overlay)
        if scope["method"] == "POST":
            return _BYTES, file_pieces(overlay, _requested_files(await asgi.body(receive, limit=_LONGEST_REQUEST)))
        raise Refusal(405, "Only GET and POST")


def hashes_file(overlay_id: int) -> Path:
    """The file with the cached hashes of an overlay's files."""
    return Path(settings.LEFT4ME_ROOT) / "overlay_hashes" / f"{overlay_id}.json"


def manifest_pieces(overlay: Overlay) -> Pieces:
    """The manifest of the overlay's present tree, encoded, in pieces."""
    root = paths.directory(overlay)
    root.mkdir(parents=True, exist_ok=True)
    manifest_lines = manifest.lines(
        root.resolve(), content_version=overlay.content_version, hashes=manifest.Hashes.load(hashes_file(overlay.pk))
    )
    lines: list[dict[str, Any]] = []
    try:
        for line in manifest_lines:
            lines.append(line)
            # Progress is sent at once, so that the other host does not time out while a large file is hashed.
            if line.keys() & {"read", "content_version"} or len(lines) >= _LINES_AT_ONCE:
                yield _encoded(lines)
                lines = []
    except manifest.Changing:
        lines = [{"changing": True}]
    yield _encoded(lines)


def file_pieces(overlay: Overlay, requested: list[tuple[str, int]]) -> Pieces:
    """Each requested file from its offset: a line with the number of bytes, then the bytes; or a line with `gone`."""
    with tree.Tree(paths.directory(overlay).resolve()) as content:
        for path, offset in requested:
            try:
                stream = content.open(tree.parts(path))
            except tree.BadPath:
                yield _encoded([{"path": path, "gone": True}])
                continue
            with stream:
                left = max(0, stream.seek(0, 2) - offset)
                stream.seek(offset)
                yield _encoded([{"path": path, "bytes": left}])
                while left:
                    chunk = stream.read(min(_CHUNK, left))
                    if not chunk:
                        # The file shrank after its length was sent: break the connection, or the host would wait.
                        raise OSError(f"{path} became shorter while it was sent")
                    left -= len(chunk)
                    yield chunk


def _is_being_built(overlay: Overlay) -> bool:
    """Whether a job is changing the tree: a half extracted archive must not be replicated."""
    return Job.objects.active().filter(locks__resource=overlay.resource, locks__exclusive=True).exists()


def _encoded(lines: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def _requested_files(body: bytes) -> list[tuple[str, int]]:
    try:
        requested = [(str(path), int(offset)) for path, offset in json.loads(body)["files"]]
    except (ValueError, TypeError, LookupError):
        raise Refusal(400, "Send the files as {“files”: [[path, offset], …]}") from None
    if len(requested) > MOST_FILES_AT_ONCE or any(offset < 0 for _path, offset in requested):
        raise Refusal(400, "Too many files at once, or a negative offset")
    return requested
