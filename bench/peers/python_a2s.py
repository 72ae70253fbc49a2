"""python-a2s: a client for the queries of server browsers; each question has a socket of its own."""

from __future__ import annotations

import a2s

from bench.peers import questions


def ask(port: int, password: str, count: int) -> int:
    return min(len(a2s.info(("127.0.0.1", port), timeout=5).server_name) for _ in range(count))


if __name__ == "__main__":
    questions.main(ask, smallest=5)
