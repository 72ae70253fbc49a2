"""A real Redis for tests: one per test process, on the socket where settings expect it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from left4me.core.processes import commands
from left4me.core.redis import broker


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Path]:
    """Start the server that `settings.REDIS_URL` names; yields its socket."""
    root = Path(os.environ["LEFT4ME_ROOT"])
    sock = broker.socket_path(root)
    sock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    data = root / "broker"
    data.mkdir(exist_ok=True)
    with own_redis(sock, data):
        yield sock


@contextmanager
def own_redis(sock: Path, data: Path) -> Iterator[None]:
    """Run a Redis that answers on `sock`."""
    process = commands.start_piped(broker.command(sock, data), cwd=data, env=dict(os.environ))
    deadline = time.monotonic() + 30
    while not broker.answers(sock):
        assert process.poll() is None, "the test Redis ended at once"
        assert time.monotonic() < deadline, "the test Redis does not answer"
        time.sleep(0.02)
    try:
        yield
    finally:
        commands.end_group(process.pid)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture
def redis_client(redis_server: Path) -> Iterator[redis.Redis]:
    """A client of an empty server."""
    with redis.Redis(unix_socket_path=str(redis_server)) as client:
        client.flushall()
        yield client
        client.flushall()
