"""The protocol of one connection, without input and output. The blocking and the asyncio client share it.

A question is the command followed by an empty command under an id of its own. Servers answer in order, so the
reply to the empty one marks the end of the answer: its length tells nothing, answers come in pieces of any size.
"""

from __future__ import annotations

import enum

from servers.gamehost.rcon import packets
from servers.gamehost.rcon.errors import ConnectionLost, PasswordRefused, ProtocolFault

LARGEST_ANSWER = 1_048_576
_HIGHEST_ID = 2**31 - 4

_LEAVING = frozenset(
    {
        "_restart",
        "changelevel",
        "changelevel2",
        "exit",
        "killserver",
        "map",
        "quit",
        "restart",
        "sm_map",
        "sv_shutdown",
    }
)


class Answer(str):
    """The text of a server's answer.

    `confirmed` is False for commands that make a server fall silent or hang up (`quit`, `changelevel`, …) when it
    did: the command was sent, whether it was carried out has to be looked at elsewhere.
    """

    __slots__ = ("confirmed",)
    confirmed: bool

    def __new__(cls, text: str, *, confirmed: bool = True) -> Answer:
        answer = super().__new__(cls, text)
        answer.confirmed = confirmed
        return answer


class _State(enum.Enum):
    NEW = "new"
    LOGGING_IN = "logging in"
    READY = "ready"
    ASKING = "asking"


def leaves_no_answer(command: str) -> bool:
    """True for commands after which no answer or a closed connection is normal."""
    return any(part.split(None, 1)[0].strip('"').lower() in _LEAVING for part in command.split(";") if part.strip())


class Conversation:
    """One login, then one question at a time. `receive` returns True when what was asked for is complete."""

    def __init__(self) -> None:
        self._decoder = packets.Decoder()
        self._state = _State.NEW
        self._last_id = 0
        self._question_id = 0
        self._pieces: list[bytes] = []
        self._size = 0

    @property
    def logged_in(self) -> bool:
        return self._state in (_State.READY, _State.ASKING)

    @property
    def idle(self) -> bool:
        """True when the next question may be asked."""
        return self._state is _State.READY

    @property
    def text(self) -> str:
        """The answer so far. Decoded as a whole: a character may be split over two packets."""
        return b"".join(self._pieces).decode(errors="replace")

    def login(self, password: str) -> bytes:
        self._state = _State.LOGGING_IN
        return packets.encode(self._next_id(), packets.AUTH, packets.body_of(password, noun="RCON password"))

    def ask(self, command: str) -> bytes:
        body = packets.body_of(command)
        if self._state is not _State.READY:
            raise AssertionError(f"asked while {self._state.value}")
        self._state = _State.ASKING
        self._pieces = []
        self._size = 0
        self._question_id = self._next_id()
        return packets.encode(self._question_id, packets.EXECCOMMAND, body) + packets.encode(
            self._next_id(), packets.EXECCOMMAND, b""
        )

    def receive(self, data: bytes) -> bool:
        """Takes what came in; raises `PasswordRefused`, `ConnectionLost` or `ProtocolFault`."""
        complete = False
        for packet in self._decoder.feed(data):
            if self._state is _State.LOGGING_IN:
                complete = self._hear_login(packet)
            elif self._state is _State.ASKING:
                complete = self._hear_answer(packet)
        return complete

    def _hear_login(self, packet: packets.Packet) -> bool:
        # An empty response value comes first, from most servers, in the same segment or not.
        if packet.kind != packets.AUTH_RESPONSE:
            return False
        if packet.id == packets.REFUSED_ID:
            raise PasswordRefused("The server rejected the RCON password.")
        # Some servers answer with id 0 instead of ours: not refused is let in.
        self._state = _State.READY
        return True

    def _hear_answer(self, packet: packets.Packet) -> bool:
        if packet.kind == packets.AUTH_RESPONSE and packet.id == packets.REFUSED_ID:
            raise ConnectionLost("The server requires a new login on this connection.")
        if packet.id == self._last_id:
            self._state = _State.READY
            return True
        if packet.id == self._question_id:
            self._size += len(packet.body)
            if self._size > LARGEST_ANSWER:
                raise ProtocolFault("The response is larger than 1 MB.", sent=True)
            self._pieces.append(packet.body)
        return False

    def _next_id(self) -> int:
        # Never -1, the sign of refusal, and never 0, which servers use on their own.
        self._last_id = self._last_id + 1 if self._last_id < _HIGHEST_ID else 1
        return self._last_id
