"""A simulated Steam in one process: the web API and the download servers, over real sockets, with faults on demand.

Tests and benchmarks use it in place of Steam. As a command it serves a folder of VPKs:

    python -m left4me.testing.simulated_steam FOLDER [--port N]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from left4me.testing import vpk_files


@dataclass(frozen=True)
class Fault:
    """A fault for one request; several can be queued, and each is used once."""

    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    torn_after: int | None = None
    bytes_per_second: int = 0
    stall_after: int | None = None
    ignores_range: bool = False
    seconds_before_answer: float = 0.0


@dataclass
class Item:
    steam_id: int
    path: Path
    time_updated: int = 1_700_000_000
    details: dict[str, Any] = field(default_factory=dict)
    faults: deque[Fault] = field(default_factory=deque)


class SimulatedSteam:
    """Listens on the loopback interface inside its context manager; `url` serves as API and as download host."""

    def __init__(self, folder: Path, *, port: int = 0) -> None:
        self.folder = folder
        self.items: dict[int, Item] = {}
        self.collections: dict[int, list[tuple[int, int]]] = {}
        self.players: dict[int, str] = {}
        self.private_players: set[int] = set()
        self.api_faults: deque[Fault] = deque()
        # (method, path, Range header) of every request, in the order of arrival.
        self.requests: list[tuple[str, str, str]] = []
        self.stopping = threading.Event()
        self._server = _Server(("127.0.0.1", port), _handler_for(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> SimulatedSteam:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def add(
        self,
        steam_id: int,
        *,
        content: bytes | None = None,
        files: dict[str, bytes] | None = None,
        **details: Any,
    ) -> Item:
        """Publish an item: `content` as it is, or a VPK with `files`.

        `details` replace fields of Steam's answer.
        """
        path = self.folder / f"published-{steam_id}"
        if content is not None:
            path.write_bytes(content)
        else:
            vpk_files.write(path, files or {"addoninfo.txt": b'"AddonInfo"{ "addontitle" "Simulated" }'})
        time_updated = details.pop("time_updated", 1_700_000_000)
        item = self.items[steam_id] = Item(steam_id, path, time_updated, details)
        return item

    def add_file(self, steam_id: int, path: Path) -> Item:
        """Publish an existing file without copying it."""
        item = self.items[steam_id] = Item(steam_id, path, int(path.stat().st_mtime))
        return item

    def downloads(self, steam_id: int) -> int:
        return sum(path == f"/ugc/{steam_id}" for _, path, _ in self.requests)

    def details(self, steam_id: int) -> dict[str, Any]:
        item = self.items.get(steam_id)
        if item is None:
            return {"publishedfileid": str(steam_id), "result": 9}
        if item.details.get("result", 1) != 1:
            return {"publishedfileid": str(steam_id), "result": item.details["result"]}
        return {
            "publishedfileid": str(steam_id),
            "result": 1,
            "creator": "76561197960287930",
            "creator_app_id": 563,
            "consumer_app_id": 550,
            "filename": f"myl4d2addons/{steam_id}.vpk",
            # Steam sends this field sometimes as a number and sometimes as text.
            "file_size": str(item.path.stat().st_size) if steam_id % 2 else item.path.stat().st_size,
            "file_url": f"{self.url}/ugc/{steam_id}",
            "hcontent_file": "12345678901234567890",
            "preview_url": f"{self.url}/preview/{steam_id}",
            "title": f"Item {steam_id}",
            "description": "Simulated.",
            "time_created": 1_600_000_000,
            "time_updated": item.time_updated,
            "visibility": 0,
            "banned": 0,
            "tags": [{"tag": "Campaigns"}],
            **item.details,
        }

    def answer(self, method: str, form: dict[str, list[str]]) -> dict[str, Any] | None:
        """The response of the web API, or None for an unknown method."""
        ids = [int(form[f"publishedfileids[{n}]"][0]) for n in range(_count(form))]
        if method == "ISteamRemoteStorage/GetPublishedFileDetails/v1":
            return {
                "result": 1,
                "resultcount": len(ids),
                "publishedfiledetails": [self.details(i) for i in ids],
            }
        if method == "ISteamRemoteStorage/GetCollectionDetails/v1":
            details = [self._collection(i) for i in ids]
            return {"result": 1, "resultcount": len(ids), "collectiondetails": details}
        if method == "ISteamUser/GetPlayerSummaries/v2":
            wanted = [int(i) for i in form["steamids"][0].split(",")]
            return {"players": [self._player(i) for i in wanted if i in self.players]}
        return None

    def _collection(self, steam_id: int) -> dict[str, Any]:
        if steam_id not in self.collections:
            return {"publishedfileid": str(steam_id), "result": 1 if steam_id in self.items else 9}
        children = [
            {"publishedfileid": str(child), "sortorder": order, "filetype": filetype}
            for order, (child, filetype) in enumerate(self.collections[steam_id])
        ]
        return {"publishedfileid": str(steam_id), "result": 1, "children": children}

    def _player(self, steam_id: int) -> dict[str, Any]:
        avatar = f"https://avatars.steamstatic.com/{steam_id:040x}_medium.jpg"
        return {
            "steamid": str(steam_id),
            "communityvisibilitystate": 1 if steam_id in self.private_players else 3,
            "personaname": self.players[steam_id],
            "avatarmedium": avatar,
        }


def _count(form: dict[str, list[str]]) -> int:
    return int((form.get("itemcount") or form.get("collectioncount") or ["0"])[0])


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that close the connection are expected."""


def _handler_for(steam: SimulatedSteam) -> type[BaseHTTPRequestHandler]:
    class Bound(_Handler):
        pass

    Bound.steam = steam
    return Bound


class _Handler(BaseHTTPRequestHandler):
    steam: SimulatedSteam
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 60

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the library names it so
        """Requests are kept in `steam.requests`."""

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode())
        self._api(urlsplit(self.path).path, form)

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        kind, _, rest = url.path.strip("/").partition("/")
        if kind == "ugc" and rest.isdigit() and int(rest) in self.steam.items:
            self._download(self.steam.items[int(rest)])
        elif kind == "preview":
            self._note()
            self._send(200, _PICTURE, "image/png")
        else:
            self._api(url.path, parse_qs(url.query))

    def _note(self) -> None:
        self.steam.requests.append((self.command, urlsplit(self.path).path, self.headers.get("Range", "")))

    def _api(self, path: str, form: dict[str, list[str]]) -> None:
        self._note()
        fault = self.steam.api_faults.popleft() if self.steam.api_faults else None
        if fault is not None:
            self.steam.stopping.wait(fault.seconds_before_answer)
            if fault.status or fault.body is not None:
                self._send(fault.status or 200, fault.body or b"", "text/html", fault.headers)
                return
        answer = self.steam.answer(path.strip("/"), form)
        body = json.dumps({"response": answer or {}}).encode()
        self._send(200 if answer is not None else 404, body, "application/json")

    def _download(self, item: Item) -> None:
        self._note()
        fault = item.faults.popleft() if item.faults else Fault()
        self.steam.stopping.wait(fault.seconds_before_answer)
        if fault.status:
            self._send(fault.status, fault.body or b"", "text/html", fault.headers)
            return
        if fault.body is not None:
            self._send(200, fault.body, "text/html")
            return
        size = item.path.stat().st_size
        start = 0 if fault.ignores_range else _range_start(self.headers.get("Range", ""))
        if start >= size > 0:
            self._send(416, b"", "text/plain", (("Content-Range", f"bytes */{size}"),))
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(size - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.end_headers()
        self._body(item.path, start, size - start, fault)

    def _body(self, path: Path, start: int, length: int, fault: Fault) -> None:
        end = length if fault.torn_after is None else min(length, fault.torn_after)
        pace = fault.bytes_per_second
        with path.open("rb") as file:
            if not pace and fault.stall_after is None:
                if end:
                    self.connection.sendfile(file, start, end)
            else:
                file.seek(start)
                self._slowly(file, end, pace or 1_000_000_000, fault.stall_after)
        if end < length:
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True

    def _slowly(self, file: Any, left: int, pace: int, stall_after: int | None) -> None:
        sent, step = 0, max(1, min(pace // 20, 65_536))
        while left > 0 and not self.steam.stopping.is_set():
            if stall_after is not None and sent >= stall_after:
                self.steam.stopping.wait(60)
                return
            chunk = file.read(min(step, left))
            self.wfile.write(chunk)
            sent, left = sent + len(chunk), left - len(chunk)
            self.steam.stopping.wait(len(chunk) / pace)

    def _send(self, status: int, body: bytes, kind: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _range_start(header: str) -> int:
    match = re.fullmatch(r"bytes=(\d+)-", header)
    return int(match[1]) if match else 0


_PICTURE = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000 1f15c489".replace(" ", "")
    + "0000000d49444154789c6360f8cf5000000383018 05d7a6b2e0000000049454e44ae426082".replace(" ", "")
)


def _numbered(folder: Path) -> Iterator[tuple[int, Path]]:
    for number, path in enumerate(sorted(folder.glob("*.vpk")), start=1):
        yield (int(path.stem) if path.stem.isdigit() else number), path


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a folder of VPKs the way Steam does, on the loopback.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    with SimulatedSteam(options.folder, port=options.port) as steam:
        for steam_id, path in _numbered(options.folder):
            steam.add_file(steam_id, path)
        sys.stdout.write(f"{steam.url}\n")
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(3600)


if __name__ == "__main__":
    main()
