"""The other host's side: fetches what is missing of an overlay's content from the web, and makes a copy of it.

Only files whose content is on this host in no copy travel, each from where it broke off. Every byte is checked against
the manifest before a start can see it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from left4me.core.net import fetch
from left4me.jobs import registry
from overlays.models import Overlay
from overlays.replication.manifest import Changing, Entry, Malformed, Manifest, Reader
from overlays.replication.store import Copies, Current

# The web may be restarting for an upgrade, the line may flap: so long without a single byte, and the job gives up.
PATIENCE_SECONDS = 120.0
_PAUSES = (1.0, 2.0, 4.0, 8.0)
_BUILD_PAUSE = 2.0
_ROUNDS = 5
_FILES_AT_ONCE = 1_000
_BYTES_AT_ONCE = 4 * 1024**3
_KEEP_FREE = 512 * 1024 * 1024
_READ = 1024 * 1024
_LONGEST_LINE = 64 * 1024
_CHUNK = 256 * 1024  # of what the client hands on at once
_LEFT_OUT_NAMED = 20


class Unavailable(Exception):
    """The content cannot be had now; the message says why and is fit for the operator."""


class _Changed(Exception):
    """What was sent is not what the manifest said: somebody changed the overlay meanwhile."""


class _BeingBuilt(Exception):
    """A job on the web's host changes the overlay right now."""


def pull(run: registry.Run, overlay: Overlay, copies: Copies) -> Current:
    """Make the copy of the overlay's present content. Raises Unavailable, registry.Cancelled and OSError."""
    with fetch.Client(
        hosts=fetch.AllowedHosts().with_origin(settings.LEFT4ME_WEB_URL),
        cancelled=run.cancelled,
        ca=settings.LEFT4ME_WEB_CA,
    ) as client:
        source = _Source(run, overlay, client)
        try:
            return _pull(run, overlay, copies, source)
        except fetch.Cancelled:
            run.check()
            raise registry.Cancelled from None


def _pull(run: registry.Run, overlay: Overlay, copies: Copies, source: _Source) -> Current:
    for _ in range(_ROUNDS):
        manifest = source.manifest()
        try:
            _fetch_missing(run, overlay, manifest, copies, source)
        except _Changed as changed:
            run.log(f"“{overlay.name}” was changed meanwhile ({changed}); looking again.")
            continue
        for path in manifest.left_out[:_LEFT_OUT_NAMED]:
            run.log(f"left out {path}: it leads out of the overlay, or its name cannot be used", stream="stderr")
        return copies.publish(manifest)
    raise Unavailable("it is being changed all the time")


def _fetch_missing(run: registry.Run, overlay: Overlay, manifest: Manifest, copies: Copies, source: _Source) -> None:
    held = copies.files_held()
    missing = {entry.sha256: entry for entry in manifest.entries if entry.sha256 and entry.sha256 not in held}
    copies.incoming.mkdir(parents=True, exist_ok=True)
    _forget_others(copies.incoming, {entry.sha256 for entry in manifest.entries})
    arriving = _Arriving(copies.incoming)
    total = sum(entry.size for entry in missing.values())
    there = sum(arriving.offset(entry) for entry in missing.values())
    _refuse_full_disk(copies.incoming, total - there)
    files = sum(1 for entry in manifest.entries if entry.sha256)
    run.log(
        f"“{overlay.name}”, version {manifest.content_version}: {files} files, {manifest.size} bytes; "
        f"to fetch: {len(missing)} files, {total - there} bytes"
    )
    began = time.monotonic()
    source.fetch(list(missing.values()), arriving, total=total)
    if missing:
        run.log(f"“{overlay.name}”: fetched in {time.monotonic() - began:.1f} s")


def _forget_others(incoming: Path, wanted: set[str]) -> None:
    """Remove what an earlier attempt fetched for a content that is no longer asked for."""
    for path in list(incoming.iterdir()):
        if path.name.partition(".")[0] not in wanted:
            path.unlink()


def _refuse_full_disk(where: Path, needed: int) -> None:
    free = shutil.disk_usage(where).free - _KEEP_FREE
    if needed > max(0, free):
        raise Unavailable(
            f"it needs {needed / 1_000_000:,.1f} MB on this host's disk, {max(0, free) / 1_000_000:,.1f} MB are free"
        )


class _Arriving:
    """Files on their way: `<hash>.part`, and `<hash>` once all is there and was checked."""

    def __init__(self, incoming: Path) -> None:
        self._incoming = incoming

    def offset(self, entry: Entry) -> int:
        try:
            return min(self._part(entry).stat().st_size, entry.size)
        except FileNotFoundError:
            return 0

    def receive(self, entry: Entry, offset: int, pieces: Iterator[bytes]) -> None:
        """Append; the file takes its name when it is what the manifest says. Raises _Changed when it is not."""
        part = self._part(entry)
        hashed = _hash_of(part, offset)
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        with os.fdopen(fd, "wb") as stream:
            stream.truncate(offset)
            stream.seek(offset)
            for piece in pieces:
                stream.write(piece)
                hashed.update(piece)
            size = stream.tell()
            os.fchmod(fd, 0o755 if entry.is_program else 0o644)
        if size != entry.size or hashed.hexdigest() != entry.sha256:
            part.unlink()
            raise _Changed(entry.path)
        part.rename(self._incoming / entry.sha256)

    def _part(self, entry: Entry) -> Path:
        return self._incoming / f"{entry.sha256}.part"


def _hash_of(part: Path, length: int) -> hashlib._Hash:
    hashed = hashlib.sha256()
    with contextlib.suppress(FileNotFoundError), part.open("rb") as stream:
        while length and (chunk := stream.read(min(_READ, length))):
            hashed.update(chunk)
            length -= len(chunk)
    return hashed


@dataclass
class _Source:
    """The web's endpoint for one overlay; asks again, with pauses, when the line breaks."""

    run: registry.Run
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
        """What the overlay holds now. Raises Unavailable and fetch.Cancelled."""
        for attempt in _Attempts(self.run):
            reader = Reader()
            try:
                with self.client.get(self.url, headers=self.headers) as answer:
                    _check(answer)
                    read = 0
                    for line in _Lines(answer.chunks()):
                        read += reader.take(line)
                        if read:
                            self._tell("web reads", read, self.overlay.size_bytes)
                if reader.done is None:
                    raise fetch.Unreachable("the answer broke off")
                return reader.done
            except Changing:
                raise Unavailable("it is being changed all the time") from None
            except Malformed as error:
                raise Unavailable(str(error)) from error
            except _BeingBuilt:
                attempt.wait(f"“{self.overlay.name}” is being built; waiting for that.")
            except fetch.Unreachable as error:
                attempt.failed(error, was_heard=False)
        raise AssertionError  # attempts end by Unavailable

    def fetch(self, entries: list[Entry], arriving: _Arriving, *, total: int) -> None:
        """Let every entry arrive. Raises _Changed, Unavailable and fetch.Cancelled."""
        for some in _portions(entries):
            waiting = {entry.path: entry for entry in some}
            for attempt in _Attempts(self.run):
                if not waiting:
                    break
                before = self.done
                try:
                    self._fetch(waiting, arriving, total=total)
                except fetch.Unreachable as error:
                    attempt.failed(error, was_heard=self.done > before)

    def _fetch(self, waiting: dict[str, Entry], arriving: _Arriving, *, total: int) -> None:
        offsets = {path: arriving.offset(entry) for path, entry in waiting.items()}
        body = json.dumps({"files": list(offsets.items())}).encode()
        with self.client.post(self.url, body, headers=self.headers) as answer:
            _check(answer)
            stream = _Lines(answer.chunks())
            for path, offset in offsets.items():
                entry = waiting[path]
                length = _length(stream.line(), entry)
                if length is None or offset + length != entry.size:
                    raise _Changed(path)
                arriving.receive(entry, offset, self._counted(stream.take(length), total))
                del waiting[path]

    def _counted(self, pieces: Iterator[bytes], total: int) -> Iterator[bytes]:
        for piece in pieces:
            self.done += len(piece)
            self._tell("fetching", self.done, total)
            yield piece

    def _tell(self, what: str, done: int, total: int) -> None:
        self.run.progress(phase=f"{what} “{self.overlay.name}”", done=done, total=max(total, done), unit="bytes")


class _Attempts:
    """Goes round again after `failed`, with a pause, until nothing has come for too long."""

    def __init__(self, run: registry.Run) -> None:
        self._run = run
        self._number = 0
        self._waits = False
        self._heard_at = time.monotonic()

    def __iter__(self) -> Iterator[_Attempts]:
        while True:
            yield self

    def failed(self, error: Exception, *, was_heard: bool) -> None:
        """Wait before the next one. Raises Unavailable when there is none, and registry.Cancelled."""
        if was_heard:
            self._number, self._heard_at = 0, time.monotonic()
        if time.monotonic() - self._heard_at > PATIENCE_SECONDS:
            raise Unavailable(f"{settings.LEFT4ME_WEB_URL} does not answer: {error}") from error
        pause = _PAUSES[min(self._number, len(_PAUSES) - 1)]
        self._number += 1
        self._run.log(f"{error}; trying again in {pause:g} s", stream="stderr")
        self._run.sleep(pause)

    def wait(self, why: str) -> None:
        """Wait for as long as it takes; says why once. Raises registry.Cancelled."""
        if not self._waits:
            self._run.log(why)
        self._waits, self._number, self._heard_at = True, 0, time.monotonic()
        self._run.sleep(_BUILD_PAUSE)


class _Lines:
    """Lines, and pieces of so many bytes, out of one stream."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def __iter__(self) -> Iterator[bytes]:
        while (line := self.line()) is not None:
            yield line

    def line(self) -> bytes | None:
        """The next line; None when nothing comes any more."""
        while b"\n" not in self._rest:
            if len(self._rest) > _LONGEST_LINE + _CHUNK:
                raise Unavailable("the web sent a line without end")
            chunk = next(self._chunks, b"")
            if not chunk:
                return None
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def take(self, length: int) -> Iterator[bytes]:
        while length:
            piece = self._rest or next(self._chunks, b"")
            if not piece:
                raise fetch.Unreachable("the answer broke off")
            self._rest = piece[length:]
            yield piece[:length]
            length -= len(piece[:length])


def _length(line: bytes | None, entry: Entry) -> int | None:
    """How many bytes follow; None when the file is gone."""
    if line is None:
        raise fetch.Unreachable("the answer broke off")
    try:
        said = json.loads(line)
        if said["path"] != entry.path:
            raise ValueError("another file")
        return None if said.get("gone") else int(said["bytes"])
    except (ValueError, TypeError, LookupError) as error:
        raise Unavailable(f"the web's answer cannot be read: {error}") from error


def _portions(entries: list[Entry]) -> Iterator[list[Entry]]:
    """So many at once that a request stays short and its answer does not take days."""
    some: list[Entry] = []
    size = 0
    for entry in entries:
        if some and (len(some) >= _FILES_AT_ONCE or size + entry.size > _BYTES_AT_ONCE):
            yield some
            some, size = [], 0
        some.append(entry)
        size += entry.size
    if some:
        yield some


_REFUSALS = {
    401: "the web does not know this host's token. Make a new join URL there: left4mectl host add",
    404: "the web has no such overlay for this host",
}


def _check(answer: fetch.Answer) -> None:
    if answer.status in _REFUSALS:
        raise Unavailable(_REFUSALS[answer.status])
    if answer.status == 409:
        raise _BeingBuilt
    if answer.status >= 500 or answer.status == 429:
        raise fetch.Unreachable(f"{answer.host} answered with HTTP status {answer.status}")
    if answer.status != 200:
        raise Unavailable(f"{answer.host} answered with HTTP status {answer.status}")
