"""Server queries (A2S): INFO, PLAYER and RULES over UDP, with a challenge."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import struct
import zlib

from .clock import Timers
from .cvars import Cvars
from .log import encoded
from .status import VERSION
from .world import World

_WHOLE = b"\xff\xff\xff\xff"
_SPLIT = b"\xfe\xff\xff\xff"
_APP_ID = 550
_INFO_QUERY = b"Source Engine Query\0"


class QueryServer:
    """Answers each datagram at once; nothing is kept per client, the challenge is derived from the address."""

    def __init__(self, *, world: World, cvars: Cvars, timers: Timers, selector: selectors.BaseSelector) -> None:
        self._world = world
        self._cvars = cvars
        self._timers = timers
        self._selector = selector
        self._secret = os.urandom(8)
        self._answers = 0

    def listen(self, bound: socket.socket) -> None:
        self._socket = bound
        self._selector.register(bound, selectors.EVENT_READ, self._receive)

    def forget_unread(self) -> None:
        """Drop what arrived while a map loaded."""
        with contextlib.suppress(OSError):
            while True:
                self._socket.recvfrom(2048)

    def _receive(self, _events: int) -> None:
        try:
            data, address = self._socket.recvfrom(2048)
        except OSError:
            return
        if not data.startswith(_WHOLE) or len(data) < 5:
            return
        if address[0].startswith("127.") and not self._cvars.on("sim_a2s_loopback"):
            return
        if self._world.hibernating and not self._cvars.on("sim_a2s_hibernating"):
            return
        for datagram in self._datagrams(self._answer(data[4:5], data[5:], address)):
            with contextlib.suppress(OSError):
                self._socket.sendto(datagram, address)

    def _answer(self, kind: bytes, rest: bytes, address: tuple[str, int]) -> bytes:
        """The answer's bytes after the leading FF FF FF FF, empty for a query that gets none."""
        if kind == b"T":
            if not rest.startswith(_INFO_QUERY):
                return b""
            rest = rest[len(_INFO_QUERY) :]
        elif kind not in (b"U", b"V"):
            return b""
        challenge = struct.pack("<I", zlib.crc32(self._secret + repr(address).encode()))
        if self._cvars.on("sim_a2s_challenge") and rest[:4] != challenge:
            return b"A" + challenge
        return {b"T": self._info, b"U": self._players, b"V": self._rules}[kind]()

    def _info(self) -> bytes:
        world, cvars = self._world, self._cvars
        tags = [cvars.text("mp_gamemode"), "empty" if world.hibernating else "", cvars.text("sv_tags"), "secure"]
        port = self._socket.getsockname()[1]
        return b"".join(
            (
                b"I\x11",
                _text(cvars.text("hostname")),
                _text(world.map),
                _text("left4dead2"),
                _text("Left 4 Dead 2"),
                struct.pack("<H", _APP_ID),
                bytes((len(world.players), world.max_players, 0)),
                b"dl",
                bytes((bool(cvars.text("sv_password")), 1)),
                _text(VERSION),
                # Extra data: port, Steam id of the server, keywords, game id.
                b"\xb1",
                struct.pack("<HQ", port, 85568392920040000 + port),
                _text(",".join(tag for tag in tags if tag)),
                struct.pack("<Q", _APP_ID),
            )
        )

    def _players(self) -> bytes:
        now = self._timers.now()
        rows = [
            bytes((0,)) + _text(player.name) + struct.pack("<if", 0, now - player.joined_at)
            for player in self._world.players
        ]
        return b"D" + bytes((len(rows),)) + b"".join(rows)

    def _rules(self) -> bytes:
        rules = [cvar for cvar in self._cvars if "nf" in cvar.flags or "rep" in cvar.flags]
        values = ((cvar.name, "1" if "prot" in cvar.flags and cvar.value else cvar.value) for cvar in rules)
        return b"E" + struct.pack("<H", len(rules)) + b"".join(_text(name) + _text(value) for name, value in values)

    def _datagrams(self, answer: bytes) -> list[bytes]:
        if not answer:
            return []
        unsplit = _WHOLE + answer
        largest = max(64, int(self._cvars.number("sim_a2s_split")))
        if len(unsplit) <= largest:
            return [unsplit]
        self._answers += 1
        pieces = [unsplit[at : at + largest] for at in range(0, len(unsplit), largest)]
        return [
            _SPLIT + struct.pack("<IBBH", self._answers & 0x7FFFFFFF, len(pieces), number, largest) + piece
            for number, piece in enumerate(pieces)
        ]


def _text(text: str) -> bytes:
    return encoded(text).replace(b"\0", b"") + b"\0"
