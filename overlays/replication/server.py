"""The web's side: an ASGI application that gives overlays' content to the hosts that run servers with them.

Beside Django's own handler, because a transfer may last for hours: here it costs a task, there one of a few threads.
`GET` answers the manifest, `POST` with a list of paths answers those files one behind the other.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import close_old_connections

from left4me.core.files import tree
from left4me.jobs.models import Job
from overlays import paths
from overlays.models import Overlay
from overlays.replication import manifest

logger = logging.getLogger(__name__)

PATH = re.compile(r"/api/v1/hosts/self/overlays/([1-9]\d{0,17})/content")
MOST_FILES_AT_ONCE = 2_000
_LONGEST_REQUEST = 4 * 1024 * 1024
_CHUNK = 256 * 1024
_LINES_AT_ONCE = 500
# Reading from disks and hashing; what waits for a slow line holds none of these.
_THREADS = 4
_JSON_LINES = [(b"content-type", b"application/x-ndjson"), (b"cache-control", b"no-store")]
_BYTES = [(b"content-type", b"application/octet-stream"), (b"cache-control", b"no-store")]

Headers = Mapping[str, str]
Pieces = Iterator[bytes]
# The overlay with this number if the host that these headers name may have it. Raises Refusal.
Find = Callable[[Headers, int], Overlay]


class Refusal(Exception):
    """The request is not answered; becomes a problem+json."""

    def __init__(self, status: int, title: str) -> None:
        self.status = status
        super().__init__(title)


class Application:
    def __init__(self, find: Find) -> None:
        self._find = find
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="overlay-content")

    def serves(self, path: str) -> bool:
        return PATH.fullmatch(path) is not None

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        begun = False
        try:
            kind, pieces = await self._open(scope, headers, receive)
            await send({"type": "http.response.start", "status": 200, "headers": kind})
            begun = True
            await self._give(pieces, receive, send)
        except Refusal as refusal:
            await _refuse(send, refusal)
        except asyncio.CancelledError:
            logger.debug("A transfer was cut off")
        except Exception:
            logger.exception("The content of %s could not be given", scope["path"])
            # An answer that has begun must not look whole: without its end the connection breaks.
            if begun:
                raise
            await _refuse(send, Refusal(500, "Something broke here"))

    async def _give(self, pieces: Pieces, receive: Any, send: Any) -> None:
        # To a connection that is gone the server sends without a word, to the end of the last gigabyte.
        gone = asyncio.ensure_future(_gone(receive))
        try:
            while (piece := await self._blocking(next, pieces, None)) is not None:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                if gone.done():
                    return
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()

    async def _open(self, scope: Mapping[str, Any], headers: Headers, receive: Any) -> tuple[list[Any], Pieces]:
        match = PATH.fullmatch(scope["path"])
        if match is None:
            raise Refusal(404, "There is nothing here")
        overlay = await self._blocking(self._found, headers, int(match[1]))
        if scope["method"] == "GET":
            if await self._blocking(_is_being_built, overlay):
                raise Refusal(409, "This overlay is being built")
            return _JSON_LINES, manifest_pieces(overlay)
        if scope["method"] == "POST":
            return _BYTES, file_pieces(overlay, _wanted(await _body(receive)))
        raise Refusal(405, "Only GET and POST")

    def _found(self, headers: Headers, overlay_id: int) -> Overlay:
        try:
            return self._find(headers, overlay_id)
        finally:
            close_old_connections()

    async def _blocking(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)


def hashes_file(overlay_id: int) -> Path:
    """Where the hashes of an overlay's files are kept from one manifest to the next."""
    return Path(settings.LEFT4ME_ROOT) / "overlay_hashes" / f"{overlay_id}.json"


def manifest_pieces(overlay: Overlay) -> Pieces:
    """The manifest of the overlay's tree as it stands now."""
    root = paths.directory(overlay)
    root.mkdir(parents=True, exist_ok=True)
    said = manifest.lines(
        root.resolve(), content_version=overlay.content_version, hashes=manifest.Hashes.load(hashes_file(overlay.pk))
    )
    lines: list[dict[str, Any]] = []
    try:
        for line in said:
            lines.append(line)
            # While a large file is hashed, the other side must hear that something happens.
            if line.keys() & {"read", "content_version"} or len(lines) >= _LINES_AT_ONCE:
                yield _written(lines)
                lines = []
    except manifest.Changing:
        lines = [{"changing": True}]
    yield _written(lines)


def file_pieces(overlay: Overlay, wanted: list[tuple[str, int]]) -> Pieces:
    """Each wanted file from an offset on: a line that says its length, then so many bytes; or that it is gone."""
    with tree.Tree(paths.directory(overlay).resolve()) as content:
        for path, offset in wanted:
            try:
                stream = content.open(tree.parts(path))
            except tree.BadPath:
                yield _written([{"path": path, "gone": True}])
                continue
            with stream:
                left = max(0, stream.seek(0, 2) - offset)
                stream.seek(offset)
                yield _written([{"path": path, "bytes": left}])
                while left:
                    chunk = stream.read(min(_CHUNK, left))
                    if not chunk:
                        # It shrank since its length was said; the other side waits for bytes that never come.
                        raise OSError(f"{path} shrank while it was sent")
                    left -= len(chunk)
                    yield chunk


def _is_being_built(overlay: Overlay) -> bool:
    """Whether a job changes the tree right now: half of an archive is no content."""
    try:
        return Job.objects.active().filter(locks__resource=overlay.resource, locks__exclusive=True).exists()
    finally:
        close_old_connections()


def _written(lines: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def _wanted(body: bytes) -> list[tuple[str, int]]:
    try:
        wanted = [(str(path), int(offset)) for path, offset in json.loads(body)["files"]]
    except (ValueError, TypeError, LookupError):
        raise Refusal(400, "Name the files: {“files”: [[path, offset], …]}") from None
    if len(wanted) > MOST_FILES_AT_ONCE or any(offset < 0 for _path, offset in wanted):
        raise Refusal(400, "Too many files at once, or an offset that is none")
    return wanted


async def _body(receive: Any) -> bytes:
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise asyncio.CancelledError
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > _LONGEST_REQUEST:
            raise Refusal(413, "This request is too long")
        if not message.get("more_body", False):
            return b"".join(parts)


async def _gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


async def _refuse(send: Any, refusal: Refusal) -> None:
    body = json.dumps({"type": "about:blank", "title": str(refusal), "status": refusal.status, "detail": ""}).encode()
    headers = [(b"content-type", b"application/problem+json"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
