"""The wire format: int32 LE size, id, type, then a body and two NUL bytes. Bytes in, packets out."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from servers.gamehost.rcon.errors import InvalidCommand, ProtocolFault

RESPONSE_VALUE = 0
EXECCOMMAND = 2
AUTH_RESPONSE = 2
AUTH = 3

REFUSED_ID = -1
LONGEST_BODY_SENT = 1_000  # sv_rcon_maxpacketsize is 1,024, and one larger packet can mean a ban
# Honest servers stay within 4,096. Some forks do not; beyond this it is another protocol's bytes read as a size.
LARGEST_PACKET_READ = 65_536
SMALLEST_PACKET = 10

_HEADER = struct.Struct("<iii")
_FORBIDDEN = ("\r", "\n", "\0")


class Packet(NamedTuple):
    id: int
    kind: int
    body: bytes


def encode(packet_id: int, kind: int, body: bytes) -> bytes:
    return _HEADER.pack(len(body) + SMALLEST_PACKET, packet_id, kind) + body + b"\0\0"


def body_of(text: str, *, noun: str = "command") -> bytes:
    """The text as a packet's body; `InvalidCommand` if it would not arrive as the one line that it is."""
    if not text.strip():
        raise InvalidCommand(f"The {noun} is empty.")
    if any(character in text for character in _FORBIDDEN):
        raise InvalidCommand(f"A {noun} must be one line, without line breaks or NUL characters.")
    try:
        body = text.encode()
    except UnicodeEncodeError as error:
        raise InvalidCommand(f"The {noun} contains characters that are not valid UTF-8.") from error
    if len(body) > LONGEST_BODY_SENT:
        raise InvalidCommand(f"The {noun} has {len(body)} bytes; the maximum is {LONGEST_BODY_SENT}.")
    return body


def check(command: str) -> None:
    """Raises `InvalidCommand` for what could not be sent as one command."""
    body_of(command)


class Decoder:
    """Cuts a stream of bytes into packets, wherever the network cut it before."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def feed(self, data: bytes) -> Iterator[Packet]:
        """Yields what is complete by now; raises `ProtocolFault` at a size that no packet has."""
        waiting = self._waiting
        waiting += data
        start = 0
        try:
            while len(waiting) - start >= _HEADER.size:
                size, packet_id, kind = _HEADER.unpack_from(waiting, start)
                if not SMALLEST_PACKET <= size <= LARGEST_PACKET_READ:
                    raise ProtocolFault("The response is not RCON. Check that this is the game's port.")
                end = start + 4 + size
                if len(waiting) < end:
                    break
                body = bytes(waiting[start + _HEADER.size : end])
                start = end
                yield Packet(packet_id, kind, _without_terminators(body))
        finally:
            del waiting[:start]


def _without_terminators(body: bytes) -> bytes:
    # Two NULs by the book; some servers send a body that ends in one only.
    return body.removesuffix(b"\0").removesuffix(b"\0")
