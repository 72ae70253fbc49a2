"""The client of replication: downloads missing content of an overlay from the web and makes a copy of it.

Only files whose content is not on this host yet are downloaded, and interrupted downloads are resumed. Every file is
verified against the manifest before a start can use it.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from left4me.core.files import room
from left4me.core.net import fetch
from left4me.core.net.download import PartialFile
from left4me.jobs.context import JobContext
from overlays.models import Overlay
from overlays.replication.attempts import Attempts, Unavailable
from overlays.replication.manifest import Changing, Entry, Malformed, Manifest, Reader
from overlays.replication.store import Copies, Current

_ROUNDS = 5
_FILES_AT_ONCE = 1_000
_BYTES_AT_ONCE = 4 * 1024**3
_LONGEST_LINE = 64 * 1024
_CHUNK = 256 * 1024  # the largest piece that `fetch.Answer.chunks` yields
_LEFT_OUT_NAMED = 20


class _Changed(Exception):
    """The received content differs from the manifest: the overlay was changed after the manifest was made."""


class _BeingBuilt(Exception):
    """A job on the web's host is changing the overlay."""


def pull(run: JobContext, overlay: Overlay, copies: Copies) -> Current:
    """Download the overlay's present content and make it the current copy.

    Raises Unavailable, Cancelled and OSError. Complete and partial files are kept for the next attempt.
    """
    with fetch.Client(
        hosts=fetch.AllowedHosts().with_origin(settings.LEFT4ME_WEB_URL),
        cancelled=run.cancelled,
        ca=settings.LEFT4ME_WEB_CA,
    ) as client:
        source = _Source(run, overlay, client)
        return _pull(run, overlay, copies, source)


def _pull(run: JobContext, overlay: Overlay, copies: Copies, source: _Source) -> Current:
    for _ in range(_ROUNDS):
        manifest = source.manifest()
        try:
            _fetch_missing(run, overlay, manifest, copies, source)
        except _Changed as changed:
            # Start again with a new manifest; unchanged files are not downloaded again.
            run.log(f"“{overlay.name}” changed during the download ({changed}); reading its file list again.")
            continue
        for path in manifest.left_out[:_LEFT_OUT_NAMED]:
            run.log(f"skipped {path}: it points outside the overlay, or its name cannot be used", stream="stderr")
        return copies.publish(manifest)
    raise Unavailable("it keeps changing; try again when its builds are done")


def _fetch_missing(run: JobContext, overlay: Overlay, manifest: Manifest, copies: Copies, source: _Source) -> None:
    available = copies.available_files()
    # By hash: files with equal content are downloaded once.
    missing = {entry.sha256: entry for entry in manifest.entries if entry.sha256 and entry.sha256 not in available}
    copies.incoming.mkdir(parents=True, exist_ok=True)
    _delete_unneeded(copies.incoming, {entry.sha256 for entry in manifest.entries})
    incoming = _Incoming(copies.incoming)
    total = sum(entry.size for entry in missing.values())
    received = sum(incoming.offset(entry) for entry in missing.values())
    # Refuse before the download starts: a full disk would also stop games and the database.
    _check_room(copies.incoming, total - received)
    files = sum(1 for entry in manifest.entries if entry.sha256)
    run.log(
        f"“{overlay.name}”, version {manifest.content_version}: {files} files, {manifest.size} bytes; "
        f"to download: {len(missing)} files, {total - received} bytes"
    )
    start = time.monotonic()
    source.fetch(list(missing.values()), incoming, total=total)
    if missing:
        run.log(f"“{overlay.name}”: downloaded in {time.monotonic() - start:.1f} s")


def _delete_unneeded(incoming: Path, hashes: set[str]) -> None:
    """Delete files that an earlier attempt downloaded for a content that has changed since."""
    for path in list(incoming.iterdir()):
        if path.name.partition(".")[0] not in hashes:
            path.unlink()


def _check_room(directory: Path, needed: int) -> None:
    free = room.left(directory)
    if needed > free:
        raise Unavailable(
            f"not enough disk space on this host: {needed / 1_000_000:,.1f} MB needed, {free / 1_000_000:,.1f} MB free"
        )


class _Incoming:
    """The directory of downloaded files: `<hash>.part` while incomplete, `<hash>` when complete and verified."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def offset(self, entry: Entry) -> int:
        try:
            return min(self._part(entry).stat().st_size, entry.size)
        except FileNotFoundError:
            return 0

    def receive(self, entry: Entry, offset: int, pieces: Iterator[bytes]) -> None:
        """Append `pieces` and give the file its name. Raises _Changed if it does not match the manifest."""
        with PartialFile.open(self._part(entry)) as part:
            digest = part.sha256(offset)
            part.append(_hashed(pieces, digest), offset=offset)
            if part.size != entry.size or digest.hexdigest() != entry.sha256:
                # Useless for a later attempt: it would resume from wrong bytes.
                part.remove()
                raise _Changed(entry.path)
            part.publish(self._directory / entry.sha256, mode=0o755 if entry.is_program else 0o644, durable=False)

    def _part(self, entry: Entry) -> Path:
        return self._directory / f"{entry.sha256}.part"


def _hashed(pieces: Iterator[bytes], digest: hashlib._Hash) -> Iterator[bytes]:
    for piece in pieces:
        digest.update(piece)
        yield piece


@dataclass
class _Source:
    """The web's endpoint for one overlay. Repeats requests, with pauses, after network failures."""

    run: JobContext
    overlay: Overlay
    client: fetch.Client
    done: int = 0

    @property
    def url(self) -> str:
        return f"{settings.LEFT4ME_WEB_URL}/api/v1/hosts/self/overlays/{self.overlay.pk}/content"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {settings.LEFT4ME_HOST_TOKEN}"}

    def manifest(self) -> Manifest:
        """The manifest of the overlay's present content. Raises Unavailable and Cancelled."""
        for attempt in Attempts(self.run):
            reader = Reader()
            try:
                with self.client.get(self.url, headers=self.headers) as answer:
                    _check(answer)
                    read = 0
                    for line in _Lines(answer.chunks()):
                        read += reader.take(line)
                        if read:
                            self._report("web reads", read, self.overlay.size_bytes)
                # The connection was closed between two lines.
                if reader.done is None:
                    raise fetch.Unreachable("the connection ended early")
                return reader.done
            except Changing:
                # The web tried several times itself, so another request now would not help.
                raise Unavailable("it keeps changing; try again when its builds are done") from None
            except Malformed as error:
                raise Unavailable(str(error)) from error
            except _BeingBuilt:
                # Not a failure: a build may take long, and the start needs its result.
                attempt.wait(f"Waiting for the build of “{self.overlay.name}”.")
            except fetch.Unreachable as error:
                attempt.failed(error, has_progress=False)
        raise AssertionError  # the attempts end with Unavailable

    def fetch(self, entries: list[Entry], incoming: _Incoming, *, total: int) -> None:
        """Download all entries. Raises _Changed, Unavailable and Cancelled."""
        for batch in _batches(entries):
            missing = {entry.path: entry for entry in batch}
            for attempt in Attempts(self.run):
                if not missing:
                    break
                done_before = self.done
                try:
                    self._fetch(missing, incoming, total=total)
                except fetch.Unreachable as error:
                    # Received bytes are kept, so the next request asks only for the rest.
                    attempt.failed(error, has_progress=self.done > done_before)

    def _fetch(self, missing: dict[str, Entry], incoming: _Incoming, *, total: int) -> None:
        """Request the missing entries once; those that are complete are removed from `missing`."""
        offsets = {path: incoming.offset(entry) for path, entry in missing.items()}
        body = json.dumps({"files": list(offsets.items())}).encode()
        with self.client.post(self.url, body, headers=self.headers) as answer:
            _check(answer)
            stream = _Lines(answer.chunks())
            for path, offset in offsets.items():
                entry = missing[path]
                length = _length(stream.line(), entry)
                # Deleted or resized on the web since the manifest was made.
                if length is None or offset + length != entry.size:
                    raise _Changed(path)
                incoming.receive(entry, offset, self._counted(stream.take(length), total))
                del missing[path]

    def _counted(self, pieces: Iterator[bytes], total: int) -> Iterator[bytes]:
        for piece in pieces:
            self.done += len(piece)
            self._report("fetching", self.done, total)
            yield piece

    def _report(self, phase: str, done: int, total: int) -> None:
        self.run.progress(phase=f"{phase} “{self.overlay.name}”", done=done, total=max(total, done), unit="bytes")


class _Lines:
    """Reads lines, and blocks of a given number of bytes, from one stream."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def __iter__(self) -> Iterator[bytes]:
        while (line := self.line()) is not None:
            yield line

    def line(self) -> bytes | None:
        """The next line; None at the end of the stream."""
        while b"\n" not in self._rest:
            if len(self._rest) > _LONGEST_LINE + _CHUNK:
                raise Unavailable("the web server sent a line that is too long")
            chunk = next(self._chunks, b"")
            if not chunk:
                return None
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def take(self, length: int) -> Iterator[bytes]:
        """The next `length` bytes, in pieces. Raises fetch.Unreachable if the stream ends before."""
        while length:
            piece = self._rest or next(self._chunks, b"")
            if not piece:
                raise fetch.Unreachable("the connection ended early")
            self._rest = piece[length:]
            yield piece[:length]
            length -= len(piece[:length])


def _length(line: bytes | None, entry: Entry) -> int | None:
    """The number of bytes that follow; None if the file does not exist any more."""
    if line is None:
        raise fetch.Unreachable("the connection ended early")
    try:
        header = json.loads(line)
        if header["path"] != entry.path:
            raise ValueError("another file")
        return None if header.get("gone") else int(header["bytes"])
    except (ValueError, TypeError, LookupError) as error:
        raise Unavailable(f"the web server's response is not valid: {error}") from error


def _batches(entries: list[Entry]) -> Iterator[list[Entry]]:
    """Divide the entries so that each request body stays short and each response has a limited size."""
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        if batch and (len(batch) >= _FILES_AT_ONCE or size + entry.size > _BYTES_AT_ONCE):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += entry.size
    if batch:
        yield batch


_REFUSALS = {
    401: "the web server does not know this host's token. Create a new join URL there with left4mectl host add",
    404: "the web server has no such overlay for this host",
}


def _check(answer: fetch.Answer) -> None:
    """Raise the exception for a status other than 200: Unavailable, _BeingBuilt, or Unreachable to try again."""
    if answer.status in _REFUSALS:
        raise Unavailable(_REFUSALS[answer.status])
    if answer.status == 409:
        raise _BeingBuilt
    # Temporary: the web is restarting, overloaded, or limits the rate of requests.
    if answer.status >= 500 or answer.status == 429:
        raise fetch.Unreachable(f"{answer.host} answered with HTTP status {answer.status}")
    if answer.status != 200:
        raise Unavailable(f"{answer.host} answered with HTTP status {answer.status}")
