"""RCON as srcds serves it, with the quirks that break clients."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct

from .clock import Timers
from .console import Console
from .cvars import Cvars
from .log import Log, encoded
from .players import Bans

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

AUTH, EXEC, AUTH_RESPONSE, RESPONSE = 3, 2, 2, 0
_OVERHEAD = 10
# One less than the protocol says: clients that leave out the second NUL work with the real game.
_SMALLEST = 9
_UNSENT_LIMIT = 4_000_000
_APART_SECONDS = 0.05
# What follows the mirror of an empty RESPONSE_VALUE, before the two closing NULs.
_MIRROR_TAIL = b"\x00\x01\x00\x00"


class Connection:
    """One client."""

    __slots__ = ("closed", "in_buffer", "ip", "out_buffer", "peer", "socket", "trusted")

    def __init__(self, peer_socket: socket.socket, address: tuple[str, int]) -> None:
        self.socket = peer_socket
        self.ip = address[0]
        self.peer = f"{address[0]}:{address[1]}"
        self.in_buffer = bytearray()
        self.out_buffer = bytearray()
        self.trusted = False
        self.closed = False


class RconServer:
    """Listens, authenticates, runs commands in order, bans. Works whenever the engine's loop calls it."""

    def __init__(
        self, *, console: Console, cvars: Cvars, log: Log, timers: Timers, bans: Bans, selector: selectors.BaseSelector
    ) -> None:
        self._console = console
        self._cvars = cvars
        self._log = log
        self._timers = timers
        self._bans = bans
        self._selector = selector
        self._connections: list[Connection] = []
        self._failures: dict[str, list[float]] = {}
        self._running: Connection | None = None
        # Whether the game has left the frame loop: it then answers nothing more.
        self.away: Callable[[], bool] = lambda: False
        cvars["rcon_password"].on_write = self._password_written

    def listen(self, listener: socket.socket) -> None:
        self._listener = listener
        self._selector.register(listener, selectors.EVENT_READ, self._accept)

    def forget_unread(self) -> None:
        """Drop what arrived while a map loaded: the engine never answers it."""
        for connection in list(self._connections):
            self._receive(connection)
            connection.in_buffer.clear()

    def close(self) -> None:
        for connection in list(self._connections):
            self._close(connection)

    def _accept(self, _events: int) -> None:
        with contextlib.suppress(OSError):
            peer_socket, address = self._listener.accept()
            peer_socket.setblocking(False)
            peer_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._bans.holds(address[0]):
                peer_socket.close()
                return
            connection = Connection(peer_socket, address)
            self._connections.append(connection)
            self._watch(connection)

    def _watch(self, connection: Connection) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.out_buffer else 0)

        def ready(events: int) -> None:
            if events & selectors.EVENT_WRITE:
                self._flush(connection)
            if events & selectors.EVENT_READ and not connection.closed:
                self._receive(connection)
                self._serve(connection)

        try:
            self._selector.modify(connection.socket, events, ready)
        except KeyError:
            self._selector.register(connection.socket, events, ready)

    def _close(self, connection: Connection) -> None:
        if connection.closed:
            return
        connection.closed = True
        self._connections.remove(connection)
        self._selector.unregister(connection.socket)
        connection.socket.close()

    def _receive(self, connection: Connection) -> None:
        try:
            data = connection.socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            connection.in_buffer += data
        else:
            self._close(connection)

    def _serve(self, connection: Connection) -> None:
        """Answer the complete packets received, in order."""
        buffer = connection.in_buffer
        while len(buffer) >= 4 and not connection.closed:
            (size,) = struct.unpack_from("<i", buffer)
            if not self._fits(connection, size) or len(buffer) < 4 + size:
                return
            packet_id, kind = struct.unpack_from("<ii", buffer, 4)
            body = bytes(buffer[12 : 4 + size]).split(b"\0", 1)[0]
            del buffer[: 4 + size]
            self._handle(connection, packet_id, kind, body)
            if self.away():
                buffer.clear()

    def _fits(self, connection: Connection, size: int) -> bool:
        largest = int(self._cvars.number("sv_rcon_maxpacketsize"))
        if _SMALLEST <= size <= largest:
            return True
        if size > largest and self._cvars.on("sv_rcon_maxpacketbans"):
            self._ban(connection.ip)
        self._close(connection)
        return False

    def _handle(self, connection: Connection, packet_id: int, kind: int, body: bytes) -> None:
        if kind == AUTH:
            self._authenticate(connection, packet_id, body)
        elif not connection.trusted:
            self._send(connection, -1, AUTH_RESPONSE)
        elif kind == EXEC:
            self._execute(connection, packet_id, body)
        elif kind == RESPONSE and not self._has_quirk("no_mirror"):
            self._send(connection, packet_id, RESPONSE)
            self._send(connection, packet_id, RESPONSE, _MIRROR_TAIL)

    def _authenticate(self, connection: Connection, packet_id: int, body: bytes) -> None:
        password = encoded(self._cvars.text("rcon_password"))
        connection.trusted = bool(password) and body == password
        if not self._has_quirk("single"):
            connection.out_buffer += _packet(packet_id, RESPONSE)
        verdict = _packet(packet_id if connection.trusted else -1, AUTH_RESPONSE)
        if self._has_quirk("apart"):
            self._flush(connection)
            self._timers.after(_APART_SECONDS, lambda: self._send_raw(connection, verdict))
        else:
            # Both packets in one segment: a client that expects two reads hangs here.
            self._send_raw(connection, verdict)
        if not connection.trusted:
            self._failed(connection)

    def _failed(self, connection: Connection) -> None:
        self._log.event(f'rcon from "{connection.peer}": Bad Password')
        now = self._timers.now()
        failures = self._failures.setdefault(connection.ip, [])
        failures.append(now)
        recent = [at for at in failures if now - at <= self._cvars.number("sv_rcon_minfailuretime")]
        too_many = len(failures) > self._cvars.number("sv_rcon_maxfailures")
        if too_many or len(recent) >= self._cvars.number("sv_rcon_minfailures"):
            del self._failures[connection.ip]
            self._ban(connection.ip)
            self._close(connection)

    def _ban(self, ip: str) -> None:
        if ip == self._cvars.text("sv_rcon_whitelist_address"):
            return
        self._log.print(f"Banning {ip} for rcon hacking attempts\n")
        self._bans.add(ip, self._cvars.number("sv_rcon_banpenalty"))

    def _execute(self, connection: Connection, packet_id: int, body: bytes) -> None:
        delay = self._cvars.number("sim_rcon_delay")
        if delay > 0:
            self._timers.after(delay, lambda: self._answer(connection, packet_id, body))
        else:
            self._answer(connection, packet_id, body)

    def _answer(self, connection: Connection, packet_id: int, body: bytes) -> None:
        if connection.closed or self.away():
            return
        command = body.decode("utf-8", "surrogateescape")
        self._running = connection
        try:
            text = self._console.taken(command)
        finally:
            self._running = None
        text += self._echo(connection, command)
        if self.away() and not text:
            # map, changelevel and quit leave the frame before anything is answered.
            return
        if text or not self._has_quirk("no_empty") or not command:
            for chunk in _chunks(encoded(text), size=int(self._cvars.number("sim_chunk"))):
                connection.out_buffer += _packet(packet_id, RESPONSE, chunk)
            self._send_raw(connection, b"")

    def _echo(self, connection: Connection, command: str) -> str:
        """The log line of the command itself, which the engine appends to the command's answer."""
        if not (command and self._log.logging and self._cvars.on("sv_rcon_log")):
            return ""
        taken: list[str] = []
        self._log.taker = taken
        try:
            self._log.event(f'rcon from "{connection.peer}": command "{command}"')
        finally:
            self._log.taker = None
        return "".join(taken)

    def _password_written(self) -> None:
        """The engine drops every authenticated client but the one that wrote, even for the same password."""
        for connection in list(self._connections):
            if connection.trusted and connection is not self._running:
                self._close(connection)

    def _has_quirk(self, name: str) -> bool:
        return name in self._cvars.text("sim_quirks").replace(",", " ").split()

    def _send(self, connection: Connection, packet_id: int, kind: int, body: bytes = b"") -> None:
        self._send_raw(connection, _packet(packet_id, kind, body))

    def _send_raw(self, connection: Connection, data: bytes) -> None:
        if not connection.closed:
            connection.out_buffer += data
            self._flush(connection)

    def _flush(self, connection: Connection) -> None:
        buffer = connection.out_buffer
        try:
            while buffer:
                del buffer[: connection.socket.send(buffer)]
        except BlockingIOError:
            pass
        except OSError:
            self._close(connection)
            return
        if len(buffer) > _UNSENT_LIMIT:
            self._close(connection)
        else:
            self._watch(connection)


def _packet(packet_id: int, kind: int, body: bytes = b"") -> bytes:
    return struct.pack("<iii", len(body) + _OVERHEAD, packet_id, kind) + body + b"\0\0"


def _chunks(data: bytes, *, size: int) -> list[bytes]:
    """Pieces of `data`, cut wherever the length says, also inside a character; one empty piece for no data."""
    size = max(1, min(size, 4086))
    return [data[at : at + size] for at in range(0, len(data), size)] or [b""]
