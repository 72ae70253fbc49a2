"""A game server's remote console whose every quirk a test can set. Real sockets, a thread per connection."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from dataclasses import dataclass, field

PASSWORD = "secret"


def packet(packet_id: int, kind: int, body: bytes) -> bytes:
    # Written out here once more on purpose: a fault in the client's codec must not cancel itself out.
    return struct.pack("<iii", len(body) + 10, packet_id, kind) + body + b"\0\0"


@dataclass
class Quirks:
    password: str = PASSWORD
    banned: bool = False
    empty_packet_before_login: bool = True
    login_id: int | None = None
    login_silent: bool = False
    hang_up_after_refusal: bool = False
    bytes_per_segment: int | None = None
    bytes_per_packet: int = 4_000
    sentinel: bool = True
    garbage: bytes | None = None
    log_echo: str = ""
    answer_after_seconds: float = 0.0
    seconds_between_packets: float = 0.0
    hang_up_on: frozenset[str] = frozenset()
    silent_on: frozenset[str] = frozenset()
    answers: dict[str, bytes] = field(default_factory=dict)


class ScriptedServer:
    def __init__(self, quirks: Quirks | None = None) -> None:
        self.quirks = quirks or Quirks()
        self.logins: list[str] = []
        self.commands: list[str] = []
        self.connections = 0
        self._muted = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> ScriptedServer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()
        for thread in self._threads:
            thread.join(timeout=10)

    def hang_up(self) -> None:
        """Cuts every connection, as writing `rcon_password` does."""
        with self._lock:
            channels, self._open = self._open, []
        for channel in channels:
            _close(channel)

    def _accept(self) -> None:
        while True:
            try:
                channel, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            if self.quirks.banned:
                channel.close()
                continue
            with self._lock:
                self._open.append(channel)
            thread = threading.Thread(target=self._serve, args=(channel,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, channel: socket.socket) -> None:
        channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream = channel.makefile("rb")
        try:
            while header := stream.read(12):
                size, packet_id, kind = struct.unpack("<iii", header)
                body = stream.read(size - 8)[:-2]
                if not self._respond(channel, packet_id, kind, body):
                    break
        except (OSError, struct.error):
            pass
        finally:
            stream.close()
            _close(channel)

    def _respond(self, channel: socket.socket, packet_id: int, kind: int, body: bytes) -> bool:
        quirks = self.quirks
        if quirks.garbage is not None:
            channel.sendall(quirks.garbage)
            return True
        if kind == 3:
            return self._log_in(channel, packet_id, body.decode())
        if not body:
            if quirks.sentinel and not self._muted:
                self._send(channel, packet(packet_id, 0, b""))
            return True
        command = body.decode()
        self.commands.append(command)
        time.sleep(quirks.answer_after_seconds)
        if command in quirks.hang_up_on:
            return False
        if command in quirks.silent_on:
            self._muted = True
            return True
        self._answer(channel, packet_id, quirks.answers.get(command, f"ran {command}\n".encode()))
        return True

    def _log_in(self, channel: socket.socket, packet_id: int, password: str) -> bool:
        quirks = self.quirks
        self.logins.append(password)
        if quirks.login_silent:
            return True
        first = packet(packet_id, 0, b"") if quirks.empty_packet_before_login else b""
        if password != quirks.password:
            self._send(channel, first + packet(-1, 2, b""))
            return not quirks.hang_up_after_refusal
        login_id = packet_id if quirks.login_id is None else quirks.login_id
        self._send(channel, first + packet(login_id, 2, b""))
        return True

    def _answer(self, channel: socket.socket, packet_id: int, body: bytes) -> None:
        step = self.quirks.bytes_per_packet
        pieces = [body[start : start + step] for start in range(0, len(body), step)] or [b""]
        if self.quirks.seconds_between_packets:
            for piece in pieces[:-1]:
                self._send(channel, packet(packet_id, 0, piece))
                time.sleep(self.quirks.seconds_between_packets)
            pieces = pieces[-1:]
        out = b"".join(packet(packet_id, 0, piece) for piece in pieces)
        if self.quirks.log_echo:
            out += packet(packet_id, 0, self.quirks.log_echo.encode())
        self._send(channel, out)

    def _send(self, channel: socket.socket, data: bytes) -> None:
        step = self.quirks.bytes_per_segment or len(data)
        for start in range(0, len(data), step):
            channel.sendall(data[start : start + step])


def _close(channel: socket.socket) -> None:
    with contextlib.suppress(OSError):
        channel.shutdown(socket.SHUT_RDWR)
    channel.close()
