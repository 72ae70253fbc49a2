"""What a game answers to A2S_INFO, and what is no answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from servers.gamehost import a2s
from servers.gamehost.a2s import Info, NoAnswer

HEAD = b"\xff\xff\xff\xff"
ANSWER = HEAD + b"I\x11name\0c1m1_hotel\0left4dead2\0L4D2\0" + b"\x26\x02\x03\x08\x01dl\0\x01" + b"2.2.4.3\0rest"
INFO = Info("name", "c1m1_hotel", "left4dead2", 3, 8, "2.2.4.3")


def test_an_answer_is_read():
    assert a2s.parse(ANSWER) == INFO
    assert a2s.parse(ANSWER.replace(b"name", b"\xff")).name == "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    "answer",
    [b"", HEAD, ANSWER.replace(b"I\x11", b"J\x11"), ANSWER[1:], HEAD + b"I\x11one\0two\0", ANSWER[:40], ANSWER[:-12]],
)
def test_what_is_no_answer_is_told(answer: bytes):
    with pytest.raises(NoAnswer, match="not an A2S_INFO response"):
        a2s.parse(answer)


class Game:
    """Answers each datagram with the next of these; with nothing for an empty one."""

    def __init__(self, *answers: bytes) -> None:
        self.asked: list[bytes] = []
        self._answers = list(answers)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        for answer in self._answers:
            asked, address = self._socket.recvfrom(1000)
            self.asked.append(asked)
            if answer:
                self._socket.sendto(answer, address)

    def end(self) -> None:
        self._thread.join(10)
        self._socket.close()


@pytest.fixture
def games() -> Iterator[list[Game]]:
    made: list[Game] = []
    yield made
    for game in made:
        game.end()


QUERY = HEAD + b"TSource Engine Query\0"


def test_a_challenge_is_given_back(games: list[Game]):
    games.append(Game(HEAD + b"Aabcd", ANSWER))
    assert a2s.info("127.0.0.1", games[0].port, timeout=20) == INFO
    assert games[0].asked == [QUERY, QUERY + b"abcd"]


def test_a_datagram_that_is_lost_is_sent_again(games: list[Game], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(a2s, "_TRY_SECONDS", 0.05)
    games.append(Game(b"", ANSWER))
    assert a2s.info("127.0.0.1", games[0].port, timeout=20) == INFO
    assert games[0].asked == [QUERY, QUERY]


def test_a_game_that_says_nothing_is_told_with_its_address(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(a2s, "_TRY_SECONDS", 0.01)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        with pytest.raises(NoAnswer, match=rf"^127\.0\.0\.1:{port} did not respond over UDP within 0\.05 s$"):
            a2s.info("127.0.0.1", port, timeout=0.05)
    # Nobody listens there any more: the kernel says so, and a game may be about to start.
    with pytest.raises(NoAnswer, match="did not respond"):
        a2s.info("127.0.0.1", port, timeout=0.05)


@pytest.mark.parametrize("host", ["not a name", "x" * 70, "a..b"])
def test_a_name_that_leads_nowhere_is_told(host: str):
    with pytest.raises(NoAnswer, match="cannot be queried"):
        a2s.info(host, 27015, timeout=5)
