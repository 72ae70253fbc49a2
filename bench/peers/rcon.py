"""rcon: a blocking RCON client that takes one read for one packet."""

from __future__ import annotations

from rcon.source import Client

from bench.peers import questions


def ask(port: int, password: str, count: int) -> int:
    with Client("127.0.0.1", port, timeout=5, passwd=password) as connection:
        return min(len(connection.run("status")) for _ in range(count))


if __name__ == "__main__":
    questions.main(ask, smallest=800)
