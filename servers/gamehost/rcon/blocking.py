"""The blocking client: one connection, one command, one answer."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from servers.gamehost.rcon import guard, packets
from servers.gamehost.rcon.conversation import Answer, Conversation, leaves_no_answer
from servers.gamehost.rcon.errors import ConnectionLost, PasswordRefused, RconError, TimedOut, Unreachable

# Long enough for a server that does answer such a command, short enough to wait for one that does not.
LEAVING_SECONDS = 2.0
HUNG_UP_ON_LOGIN = (
    "The server closed the connection during login. It may have banned this address; `removeip` lifts the ban."
)
TEXT_SECONDS = 0.3
_CHUNK = 65_536

OnText = Callable[[str], None]


def execute(
    host: str,
    port: int,
    password: str,
    command: str,
    *,
    timeout: float,
    starting: bool = False,
    on_text: OnText | None = None,
) -> Answer:
    """Runs one command and returns its text; everything together takes at most `timeout` seconds.

    `starting` says that the game may not have read its password yet: a refusal is then not the last word.
    `on_text` is given the answer so far, now and then, while a long one arrives.

    Raises an `RconError`; its `sent` tells whether the command may have run. Commands that end a connection by
    their nature (`quit`, `map`, …) do not raise when it ends: their answer is not `confirmed`.
    """
    packets.body_of(command)
    guard.check(host, port, password, starting=starting)
    deadline = time.monotonic() + timeout
    conversation = Conversation()
    with _connected(host, port, timeout) as channel:
        _log_in(channel, conversation, password, deadline=deadline, address=(host, port))
        if leaves_no_answer(command):
            return _ask_and_let_go(channel, conversation, command, deadline=deadline)
        return _ask(channel, conversation, command, deadline=deadline, on_text=on_text)


def _connected(host: str, port: int, timeout: float) -> socket.socket:
    try:
        channel = socket.create_connection((host, port), timeout=timeout)
    except (OSError, UnicodeError) as error:
        raise Unreachable(f"Nothing responds at {host}:{port} ({error}).") from error
    channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return channel


def _log_in(
    channel: socket.socket,
    conversation: Conversation,
    password: str,
    *,
    deadline: float,
    address: tuple[str, int],
) -> None:
    try:
        _send(channel, conversation.login(password))
        _listen(channel, conversation, deadline)
    except PasswordRefused:
        guard.refused(*address, password)
        raise
    except ConnectionLost as error:
        raise Unreachable(HUNG_UP_ON_LOGIN) from error
    guard.accepted(*address, password)


def _ask(
    channel: socket.socket,
    conversation: Conversation,
    command: str,
    *,
    deadline: float,
    on_text: OnText | None = None,
) -> Answer:
    try:
        _send(channel, conversation.ask(command))
        _listen(channel, conversation, deadline, on_text)
    except RconError as error:
        error.sent = True
        error.partial = conversation.text
        raise
    return Answer(conversation.text)


def _ask_and_let_go(channel: socket.socket, conversation: Conversation, command: str, *, deadline: float) -> Answer:
    try:
        return _ask(channel, conversation, command, deadline=min(deadline, time.monotonic() + LEAVING_SECONDS))
    except (ConnectionLost, TimedOut) as error:
        return Answer(error.partial, confirmed=False)


def _send(channel: socket.socket, data: bytes) -> None:
    try:
        channel.sendall(data)
    except OSError as error:
        raise ConnectionLost("The server closed the connection.") from error


def _listen(
    channel: socket.socket, conversation: Conversation, deadline: float, on_text: OnText | None = None
) -> None:
    told_at = time.monotonic()
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimedOut("The server did not respond in time.")
        channel.settimeout(left)
        try:
            data = channel.recv(_CHUNK)
        except TimeoutError:
            continue
        except OSError as error:
            raise ConnectionLost("The server closed the connection.") from error
        if not data:
            raise ConnectionLost("The server closed the connection.")
        if conversation.receive(data):
            return
        if on_text is not None and time.monotonic() - told_at >= TEXT_SECONDS:
            on_text(conversation.text)
            told_at = time.monotonic()
