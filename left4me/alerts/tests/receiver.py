"""A receiver of webhooks on a real socket that behaves as it is told."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections import deque
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HANG, TEAR, DRIP = "hang", "tear", "drip"


class Receiver(ThreadingHTTPServer):
    """`plan(500, 200)` answers so, then 204 for ever; what came is in `bodies`, in order."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: list[Any] = []
        self.paths: list[str] = []
        self.methods: list[str] = []
        self.answers: deque[Any] = deque()
        self.usual: Any = 204
        self.closing = threading.Event()
        self.origin = f"http://127.0.0.1:{self.server_address[1]}"

    def plan(self, *answers: Any) -> None:
        """Each a status, (status, headers, body), or HANG, TEAR or DRIP."""
        self.answers.extend(answers)

    def url(self, path: str = "/api/webhooks/1/token-of-the-webhook") -> str:
        return self.origin + path

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients hang up in these tests."""


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_POST(self) -> None:
        said = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = self.server.answers.popleft() if self.server.answers else self.server.usual
        self.server.paths.append(self.path)
        self.server.methods.append(self.command)
        self.server.bodies.append(json.loads(said) if said else None)
        if answer == HANG:
            self.server.closing.wait(30)
        elif answer == TEAR:
            self.connection.sendall(b"HTTP/1.1 20")
            self.connection.shutdown(socket.SHUT_RDWR)
        elif answer == DRIP:
            self._drip()
        else:
            status, headers, body = answer if isinstance(answer, tuple) else (answer, {}, "")
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body.encode())

    do_PATCH = do_DELETE = do_POST

    def _drip(self) -> None:
        with contextlib.suppress(OSError):
            for byte in b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500:
                self.connection.sendall(bytes([byte]))
                if self.server.closing.wait(0.2):
                    return


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
