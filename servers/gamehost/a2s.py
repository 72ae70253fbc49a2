"""Asks a game for A2S_INFO, as Steam's server browser and the clients of players do."""

from __future__ import annotations

import socket
import struct
import time
from dataclasses import dataclass
from typing import Final

_WHOLE: Final = b"\xff\xff\xff\xff"
_QUERY: Final = _WHOLE + b"TSource Engine Query\0"
_CHALLENGE: Final = b"A"
_INFO: Final = b"I"
_LARGEST: Final = 4096
_TRY_SECONDS: Final = 1.0


class NoAnswer(Exception):
    """The game sent no readable answer in time."""


@dataclass(frozen=True)
class Info:
    name: str
    map: str
    folder: str
    players: int
    most_players: int
    version: str


def info(host: str, port: int, *, timeout: float) -> Info:
    """What the game says about itself. Datagrams may be lost, so it is asked again until the time is over.

    Raises NoAnswer.
    """
    deadline = time.monotonic() + timeout
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
            channel.connect((host, port))
            while (left := deadline - time.monotonic()) > 0:
                channel.settimeout(min(_TRY_SECONDS, left))
                try:
                    return _ask(channel)
                except TimeoutError:
                    continue
                except ConnectionRefusedError:
                    time.sleep(min(_TRY_SECONDS, left))
    except (OSError, UnicodeError) as error:
        raise NoAnswer(f"{host}:{port} cannot be queried: {error}") from error
    raise NoAnswer(f"{host}:{port} did not respond over UDP within {timeout:g} s")


def parse(answer: bytes) -> Info:
    """Raises NoAnswer for what is no answer to A2S_INFO."""
    try:
        if answer[:5] != _WHOLE + _INFO:
            raise ValueError
        texts = answer[6:].split(b"\0", 4)
        name, map_name, folder, _game, rest = (*(text.decode(errors="replace") for text in texts[:4]), texts[4])
        _app, players, most, _bots = struct.unpack_from("<HBBB", rest)
        version = rest[9 : rest.index(b"\0", 9)].decode(errors="replace")
    except (ValueError, IndexError, struct.error):
        raise NoAnswer("the UDP response is not an A2S_INFO response") from None
    return Info(name, map_name, folder, players, most, version)


def _ask(channel: socket.socket) -> Info:
    channel.send(_QUERY)
    answer = channel.recv(_LARGEST)
    if answer[:5] == _WHOLE + _CHALLENGE:
        channel.send(_QUERY + answer[5:9])
        answer = channel.recv(_LARGEST)
    return parse(answer)
