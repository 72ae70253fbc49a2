"""python-valve: a blocking RCON client that reads answers of several packets."""

from __future__ import annotations

from valve.rcon import RCON

from bench.peers import questions


def ask(port: int, password: str, count: int) -> int:
    with RCON(("127.0.0.1", port), password) as connection:
        return min(len(connection.execute("status").text) for _ in range(count))


if __name__ == "__main__":
    questions.main(ask, smallest=800)
