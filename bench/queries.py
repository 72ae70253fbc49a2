"""Print how many questions a second left4me's clients for RCON and A2S ask one server, beside clients of others.

The server answers at once, from a process of its own: `status` with 8 people, and A2S_INFO after a challenge. Peers
from PyPI run in an environment of their own: `PEERS=DIR bench/queries` makes it (bench/peers/environment.py).
"""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

import uvloop

from bench import figures
from bench.figures import Figure
from bench.peers import environment
from bench.poll import PASSWORD, endpoints
from servers.gamehost import a2s, rcon
from servers.gamehost.rcon import packets

QUESTIONS = int(os.environ.get("BENCH_QUESTIONS", "5000"))
STATUS = "status questions over one RCON connection"
INFO = "A2S_INFO questions"
_CHALLENGE = b"\xff\xff\xff\xffA\x01\x02\x03\x04"
_INFO = b"\xff\xff\xff\xffI\x11bench\0c1m1_hotel\0left4dead2\0Left 4 Dead 2\0\0\0\x08\x08\0dl\0\x012.2.4.3\0"


def kept_connection(port: int) -> None:
    async def run() -> None:
        client = rcon.Client("127.0.0.1", port, PASSWORD)
        for _ in range(QUESTIONS):
            await client.ask("status", timeout=5)
        client.close()

    uvloop.run(run())


def plain_socket(port: int) -> None:
    """The floor: send the question, read until the end that the server is known to send, look at nothing."""
    question = packets.encode(2, packets.EXECCOMMAND, b"status") + packets.encode(3, packets.EXECCOMMAND, b"")
    with socket.create_connection(("127.0.0.1", port)) as channel:
        channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        channel.sendall(packets.encode(1, packets.AUTH, PASSWORD.encode()))
        channel.recv(4096)
        for _ in range(QUESTIONS):
            channel.sendall(question)
            while not channel.recv(4096).endswith(b"\0\0\0\0\0\0"):
                pass


def info(port: int) -> None:
    for _ in range(QUESTIONS):
        a2s.info("127.0.0.1", port, timeout=5)


def serve(pipe: Connection) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        channel.bind(("127.0.0.1", 0))
        pipe.send(channel.getsockname()[1])
        while True:
            question, sender = channel.recvfrom(4096)
            channel.sendto(_INFO if question.endswith(_CHALLENGE[5:]) else _CHALLENGE, sender)


@contextmanager
def browser_port() -> Iterator[int]:
    receiving, sending = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(sending,), daemon=True)
    process.start()
    try:
        yield receiving.recv()
    finally:
        process.terminate()
        process.join()


def measure(work: str, who: str, ask: Callable[[int], None], port: int) -> None:
    began, spent = time.perf_counter(), time.process_time()
    ask(port)
    keep(work, who, time.perf_counter() - began, time.process_time() - spent)


def measure_peer(work: str, who: str, module: str, port: int) -> None:
    try:
        said = json.loads(environment.run(module, str(port), PASSWORD, str(QUESTIONS)))
    except (environment.Missing, environment.Failed) as error:
        figures.record(f"{work:<44}{who:<16} {error}", Figure("queries", work, None, "/s", who, failure=str(error)))
        return
    keep(work, who, said["seconds"], said["cpu"])


def keep(work: str, who: str, seconds: float, cpu: float) -> None:
    rate, each = QUESTIONS / seconds, 1e6 * cpu / QUESTIONS
    figures.record(
        f"{work:<44}{who:<16}{rate:>10,.0f}/s{each:>10.0f} µs CPU each",
        Figure("queries", work, rate, "/s", who),
        Figure("queries", f"{work}: CPU of each", each, "µs", who),
    )


def main() -> None:
    # 1 of 100 servers is silent, and the last one always.
    with endpoints(2) as ports:
        measure(STATUS, figures.US, kept_connection, ports[0])
        measure(STATUS, "plain socket", plain_socket, ports[0])
        for who in ("python-valve", "rcon", "aiorcon"):
            measure_peer(STATUS, who, who.replace("-", "_"), ports[0])
    with browser_port() as port:
        measure(INFO, figures.US, info, port)
        measure_peer(INFO, "python-a2s", "python_a2s", port)


if __name__ == "__main__":
    main()
