"""The base of the ASGI applications through which worker hosts send files of servers and take them, step by step."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from urllib.parse import parse_qs

from left4me.core import numbers
from left4me.core.web import asgi
from left4me.core.web.asgi import Refusal
from left4me.core.web.ids import LARGEST_ID
from left4me.core.web.request import read_json
from servers.hosts.content import host_of

# The most bytes of one piece of files.
SENT_AT_ONCE: Final = 4 * 1024 * 1024
_PATH: Final = r"/api/v1/hosts/self/servers/([1-9]\d{0,17})/%s/([a-z]+)"
_CHECK: Final = re.compile(r"[0-9a-f]{64}")
_LONGEST_REQUEST: Final = 16 * 1024
_LARGEST_NUMBER: Final = 10**18 - 1
# For disk and database. A transfer that waits for the network occupies none of them.
_THREADS: Final = 4
_JSON: Final = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
_BYTES: Final = [(b"content-type", b"application/octet-stream"), (b"cache-control", b"no-store")]

# The name of the host that asks, the server and the job.
Who = tuple[str, int, int]
Step = Callable[[Who, dict[str, Any]], dict[str, Any]]
Put = Callable[[Who, bytes, int], dict[str, Any]]
Read = Callable[[Who, int], Iterator[bytes]]


class Declined(Exception):
    """The web does not allow this step. The message is for the log of the job."""


class Application(asgi.Application):
    """Answers the steps of one kind of transfer for the host whose token the request has.

    `put` stores a piece, and `read` gives the pieces from a place on. All may raise Declined.
    """

    def __init__(self, kind: str, *, steps: Mapping[str, Step], put: Put, read: Read) -> None:
        self._path = re.compile(_PATH % kind)
        self._steps, self._put, self._read = steps, put, read
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix=kind)

    def serves(self, path: str) -> bool:
        match = self._path.fullmatch(path)
        return match is not None and (match[2] == "pieces" or match[2] in self._steps)

    async def answer(self, scope: asgi.Scope, headers: asgi.Headers, receive: asgi.Receive, send: asgi.Send) -> None:
        match = self._path.fullmatch(scope["path"])
        if match is None:
            raise Refusal(404, "Not found")
        query = {name: values[-1] for name, values in parse_qs(scope["query_string"].decode("latin-1")).items()}
        # Before the body: nobody else may make this process read megabytes.
        host = await asgi.in_thread(self._threads, asgi.with_database, _host_name, headers)
        who = (host, int(match[1]), _number(query, "job"))
        step = match[2]
        if step == "pieces" and scope["method"] == "GET":
            pieces: Iterator[bytes] = await self._desk(self._read, who, _number(query, "at"))
            await asgi.start(send, _BYTES)
            await asgi.send_pieces(pieces, receive, send, threads=self._threads)
            return
        if scope["method"] != "POST":
            raise Refusal(405, "Only POST")
        if step == "pieces":
            piece = await asgi.body(receive, limit=SENT_AT_ONCE)
            if headers.get("x-content-sha256") != check_of(piece):
                raise Refusal(400, "The piece is not what its SHA-256 says")
            told = await self._desk(self._put, who, piece, _number(query, "at"))
        else:
            told = await self._desk(self._steps[step], who, _values(await asgi.body(receive, limit=_LONGEST_REQUEST)))
        await asgi.start(send, _JSON)
        await asgi.send_body(send, json.dumps(told).encode(), more=False)

    async def _desk(self, step: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return await asgi.in_thread(self._threads, asgi.with_database, step, *arguments)
        except Declined as fault:
            raise Refusal(409, str(fault)) from fault


def check_of(piece: bytes) -> str:
    """The SHA-256 of a piece, with which it is sent."""
    return hashlib.sha256(piece).hexdigest()


def is_check(given: object) -> bool:
    """Whether what a host sent can be a SHA-256, and so the name of a file."""
    return isinstance(given, str) and _CHECK.fullmatch(given) is not None


def whole(given: Mapping[str, Any], name: str) -> int:
    """A number that a host sent. Raises Refusal."""
    value = given.get(name)
    if not isinstance(value, int) or not 0 <= value <= LARGEST_ID:
        raise Refusal(400, f"“{name}” must be a number")
    return value


def _host_name(headers: asgi.Headers) -> str:
    host = host_of(headers)
    if host is None:
        raise Refusal(401, "Send this host's token")
    return host.name


def _values(body: bytes) -> dict[str, Any]:
    try:
        given = read_json(body or b"{}")
    except ValueError:
        raise Refusal(400, "Send JSON") from None
    if not isinstance(given, dict):
        raise Refusal(400, "Send an object")
    return given


def _number(query: Mapping[str, str], name: str) -> int:
    number = numbers.whole(query.get(name, ""), most=_LARGEST_NUMBER)
    if number is None:
        raise Refusal(400, f"Send “{name}”")
    return number
