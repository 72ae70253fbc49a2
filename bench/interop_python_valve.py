"""Our RCON client against the test server of python-valve in a process of its own; docs/interop.md says how to run it.

python-valve checks every id, type and body that it receives, so this is a second opinion on the wire format.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from valve.rcon import RCONMessage  # from the throw-away environment
from valve.testing import TestRCONServer

from servers.gamehost import rcon

QUERIES = 10_000
CORPUS = Path(__file__).resolve().parent.parent / "livestate" / "tests" / "status_corpus"
STATUS = (CORPUS / "l4d2_11_32_humans_12_bots_over_4096_bytes.txt").read_bytes()
EXEC, VALUE = RCONMessage.Type.EXECCOMMAND, RCONMessage.Type.RESPONSE_VALUE


class Prompt(TestRCONServer):
    def get_request(self) -> tuple[socket.socket, object]:
        # It answers in several small writes; without this each waits for the kernel's delayed acknowledgement.
        channel, address = super().get_request()
        channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return channel, address

    def handle_error(self, request: object, client_address: object) -> None:
        # A client that hangs up with the terminator still unread resets the connection: no fault of either.
        if not isinstance(sys.exception(), ConnectionResetError):
            super().handle_error(request, client_address)


@contextlib.contextmanager
def scripted(queries: int, *, terminator: bool) -> Iterator[int]:
    """Yields the port of a server that expects exactly one login and this many queries per connection."""
    server = Prompt()
    login = server.expect(1, RCONMessage.Type.AUTH, b"secret")
    login.respond(1, VALUE, b"")
    login.respond(1, RCONMessage.Type.AUTH_RESPONSE, b"")
    for number in range(queries):
        question, end = 2 + 2 * number, 3 + 2 * number
        request = server.expect(question, EXEC, b"status")
        for start in range(0, len(STATUS), 3_700):
            request.respond(question, VALUE, STATUS[start : start + 3_700])
        sentinel = server.expect(end, EXEC, b"")
        if terminator:
            sentinel.respond_terminate_multi_part(end)
        else:
            sentinel.respond(end, VALUE, b"")
    process = multiprocessing.get_context("fork").Process(target=server.serve_forever, daemon=True)
    process.start()
    try:
        yield server.server_address[1]
    finally:
        process.terminate()
        process.join()
        server.server_close()


async def persistent(port: int) -> int:
    client = rcon.Client("127.0.0.1", port, "secret")
    errors = 0
    for _ in range(QUERIES):
        errors += await client.ask("status", timeout=30) != STATUS.decode()
    client.close()
    return errors


def one_by_one(port: int) -> int:
    return sum(
        rcon.execute("127.0.0.1", port, "secret", "status", timeout=30) != STATUS.decode() for _ in range(QUERIES)
    )


def report(label: str, errors: int, start: float) -> None:
    print(f"{label}: {QUERIES} queries, {errors} errors, {time.perf_counter() - start:.1f} s", flush=True)


def main() -> None:
    for terminator, kind in ((False, "an empty reply"), (True, "an empty reply and 00 01 00 00")):
        with scripted(QUERIES, terminator=terminator) as port:
            start = time.perf_counter()
            report(f"asyncio, one connection, the end marked by {kind}", asyncio.run(persistent(port)), start)
    with scripted(1, terminator=True) as port:
        start = time.perf_counter()
        report("blocking, a connection for each", one_by_one(port), start)


if __name__ == "__main__":
    main()
