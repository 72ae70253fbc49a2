from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
REQUEST = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """As systemd holds the web's address: it stays open whoever answers on it."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        held.settimeout(60)
        yield held


def _visitor(held: socket.socket) -> socket.socket:
    return socket.create_connection(held.getsockname(), timeout=60)


def _answer(visitor: socket.socket) -> bytes:
    visitor.sendall(REQUEST)
    return b"".join(iter(lambda: visitor.recv(65536), b""))


@pytest.mark.slow
def test_who_has_just_come_is_answered_by_a_web_that_is_asked_to_end(listening, tmp_path):
    env = {**os.environ, "LEFT4ME_ROOT": str(tmp_path)}
    descriptor = listening.fileno()
    web = subprocess.Popen(
        [sys.executable, "-m", "left4me.web", str(descriptor)], cwd=PROJECT, env=env, pass_fds=[descriptor]
    )
    try:
        with _visitor(listening) as early, _visitor(listening) as other:
            assert b"200 OK" in _answer(other)  # so the earlier connection is accepted as well
            web.send_signal(signal.SIGTERM)
            assert b"200 OK" in _answer(early)
        with _visitor(listening) as late:  # in the backlog, for the next web
            web.wait(timeout=60)
            late.setblocking(False)
            with pytest.raises(BlockingIOError):
                late.recv(1)
    finally:
        web.kill()
        web.wait()
