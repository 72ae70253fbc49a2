"""The small applications beside Django: refusals, bodies of requests, answers in pieces, and room for connections."""

from __future__ import annotations

import asyncio
import json
import resource
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import OperationalError

from left4me.core.web import asgi
from left4me.core.web.asgi import Refusal


class Answering(asgi.Application):
    """Answers by a function."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def serves(self, path: str) -> bool:
        return True

    async def answer(self, scope: Any, headers: Any, receive: Any, send: Any) -> None:
        await self._answer(headers, send)


def ask(answer: Any, **headers: str) -> list[dict[str, Any]]:
    """The messages that an application sends that answers by this function."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    try:
        asyncio.run(Answering(answer)({"path": "/x", "headers": pairs}, None, send))  # type: ignore[arg-type]
    except ZeroDivisionError:
        sent.append({"type": "raised"})
    return sent


def raising(fault: BaseException, *, after_start: bool = False) -> Any:
    async def answer(headers: Any, send: Any) -> None:
        if after_start:
            await asgi.start(send, [])
        raise fault

    return answer


@pytest.mark.parametrize(
    ("fault", "status", "title", "retry_after"),
    [
        (OperationalError("database is locked"), 503, "The database is busy", b"5"),
        (OperationalError("database or disk is full"), 503, "The disk of this host is full", b"60"),
        (KeyError("name"), 500, "Internal server error", None),
        (Refusal(404, "Not found"), 404, "Not found", None),
        (Refusal(503, "Full", retry_after=0), 503, "Full", b"0"),
    ],
    ids=str,
)
def test_an_answer_that_has_not_begun_becomes_a_refusal_with_its_reason(fault, status, title, retry_after):
    start, body = ask(raising(fault))
    headers = dict(start["headers"])
    assert (start["type"], start["status"], headers.get(b"retry-after")) == (
        "http.response.start",
        status,
        retry_after,
    )
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers[b"cache-control"] == b"no-store"
    assert json.loads(body["body"]) == {"type": "about:blank", "title": title, "status": status, "detail": ""}


def test_an_answer_that_has_begun_breaks_instead_of_looking_complete():
    sent = ask(raising(ZeroDivisionError(), after_start=True))
    assert [message["type"] for message in sent] == ["http.response.start", "raised"]
    assert sent[0]["status"] == 200


def test_nobody_is_answered_who_has_left():
    assert ask(raising(asyncio.CancelledError())) == []


def test_headers_are_text():
    seen: list[Any] = []

    async def answer(headers: Any, send: Any) -> None:
        seen.append(headers)

    ask(answer, cookie="a=ü")
    assert seen == [{"cookie": "a=ü"}]


def receiving(*messages: dict[str, Any]) -> Any:
    left = list(messages)

    async def receive() -> dict[str, Any]:
        return left.pop(0)

    return receive


def part(body: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_body_is_put_together_up_to_its_limit():
    assert asyncio.run(asgi.body(receiving(part(b"ab"), part(b"c", more=False)), limit=3)) == b"abc"
    assert asyncio.run(asgi.body(receiving({"type": "http.request"}), limit=0)) == b""
    with pytest.raises(Refusal) as refused:
        asyncio.run(asgi.body(receiving(part(b"ab"), part(b"cd")), limit=3))
    assert refused.value.status == 413


def test_who_leaves_in_the_middle_of_a_body_has_cancelled():
    async def read() -> None:
        with pytest.raises(asyncio.CancelledError):
            await asgi.body(receiving(part(b"ab"), {"type": "http.disconnect"}), limit=9)

    asyncio.run(read())


def test_a_disconnect_is_waited_for():
    receive = receiving(part(b"ab"), {"type": "http.disconnect"}, part(b"not read"))
    asyncio.run(asgi.disconnected(receive))
    assert asyncio.run(receive())["body"] == b"not read"


async def never() -> AsyncIterator[None]:
    await asyncio.Event().wait()
    yield


def test_pieces_are_sent_until_they_end():
    sent: list[tuple[bytes, bool]] = []

    async def run() -> None:
        async def send(message: dict[str, Any]) -> None:
            sent.append((message["body"], message["more_body"]))

        with ThreadPoolExecutor(1) as threads:
            await asgi.send_pieces(iter([b"a", b"", b"b"]), never().__anext__, send, threads=threads)

    asyncio.run(run())
    assert sent == [(b"a", True), (b"", True), (b"b", True), (b"", False)]


def test_no_more_is_read_for_who_has_left():
    read: list[int] = []
    sent: list[bytes] = []

    def pieces() -> Iterator[bytes]:
        for number in range(1_000):
            read.append(number)
            yield b"x"

    async def run() -> None:
        has_left = asyncio.Event()

        async def receive() -> dict[str, Any]:
            await has_left.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message["body"])
            if len(sent) == 3:
                has_left.set()

        with ThreadPoolExecutor(1) as threads:
            await asgi.send_pieces(pieces(), receive, send, threads=threads)

    asyncio.run(run())
    assert 3 <= len(read) < 10
    assert b"" not in sent, "a body without its end does not look complete"


UNLIMITED = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "raised", "room"),
    [
        (256, 256, None, 128),
        (256, 4096, 4096, 3968),
        (64, 64, None, 32),
        (254, 254, None, 127),
        (258, 258, None, 130),
        (1024, UNLIMITED, 65_536, 65_408),
        (1024, 1_000_000, 65_536, 65_408),
        (100_000, 1_000_000, None, 99_872),
        (UNLIMITED, UNLIMITED, None, 65_536),
    ],
)
def test_a_process_opens_as_many_files_as_it_may_and_keeps_a_reserve(monkeypatch, soft, hard, raised, room):
    changes: list[object] = []
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda kind, limits: changes.append((kind, limits)))
    assert asgi.room_for_connections() == room
    assert changes == ([] if raised is None else [(resource.RLIMIT_NOFILE, (raised, hard))])
