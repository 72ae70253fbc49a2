"""What the tests of replication share: copies to put into the store, and a web to fetch them from."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from left4me.testing.recorded_run import RecordedRun
from overlays.models import Overlay
from overlays.replication import client, server
from overlays.replication.manifest import Entry, Manifest
from overlays.replication.store import Copies, Current


def bring(copies: Copies, *contents: bytes) -> list[str]:
    """Put contents into the store as if they had been downloaded; returns their hashes."""
    copies.incoming.mkdir(parents=True, exist_ok=True)
    hashes = [hashlib.sha256(content).hexdigest() for content in contents]
    for digest, content in zip(hashes, contents, strict=True):
        (copies.incoming / digest).write_bytes(content)
        (copies.incoming / digest).chmod(0o644)
    return hashes


def publish(copies: Copies, files: dict[str, bytes], **how: Any) -> Current:
    hashes = bring(copies, *files.values())
    entries = (
        Entry(path, digest, len(content)) for (path, content), digest in zip(files.items(), hashes, strict=True)
    )
    return copies.publish(Manifest(how.pop("version", 1), tuple(entries)), **how)


class Web:
    """Stands for the connection to the web: answers as its server would, in pieces as small as asked for."""

    def __init__(self, overlay: Overlay) -> None:
        self.overlay = overlay
        self.piece = 10_000
        # What the next requests are answered with instead: a status, or an exception.
        self.faults: list[Any] = []
        self.breaks_after: list[int | None] = []
        self.requests: list[tuple[str, Any]] = []
        self.headers: dict[str, str] = {}

    def get(self, url: str, *, headers: dict[str, str]) -> Any:
        return self._answer("GET", url, None, headers, lambda: server.manifest_pieces(self.overlay))

    def post(self, url: str, body: bytes, *, headers: dict[str, str]) -> Any:
        wanted = server._requested_files(body)
        return self._answer("POST", url, wanted, headers, lambda: server.file_pieces(self.overlay, wanted))

    @contextlib.contextmanager
    def _answer(self, method: str, url: str, wanted: Any, headers: dict[str, str], pieces: Any) -> Iterator[Any]:
        self.requests.append((method, wanted))
        self.url, self.headers = url, headers
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, Exception):
            raise fault
        yield SimpleNamespace(status=fault or 200, host="web", chunks=lambda: self._pieces(pieces()))

    def _pieces(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        sent, end = 0, self.breaks_after.pop(0) if self.breaks_after else None
        for piece in pieces:
            for at in range(0, len(piece), self.piece):
                if end is not None and sent >= end:
                    return
                yield piece[at : at + self.piece]
                sent += len(piece[at : at + self.piece])


def pull(overlay: Overlay, run: RecordedRun | None = None) -> Path:
    copies = Copies(overlay.pk)
    return copies.tree(client.pull(run or RecordedRun(), overlay, copies))


def contents(tree: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(tree)): (path.read_bytes(), path.stat().st_mode & 0o777)
        for path in tree.rglob("*")
        if path.is_file()
    }
