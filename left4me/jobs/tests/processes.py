"""Real workers and web processes on the test's own database and Redis."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.db import connection

from left4me.core.processes import procfs

TIMEOUT = 60.0


def wait_until(condition: Callable[[], object], *, seconds: float = TIMEOUT, what: str = "the condition") -> float:
    """Wait and return how long it took; fails when it takes longer than `seconds`."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"{what} did not come within {seconds:g} s"
        time.sleep(0.03)
    return time.monotonic() - began


def alive(pid: int) -> bool:
    return procfs.is_alive(pid)


class Process:
    """A part of the application; `kill` is as hard as it sounds, `stop` waits for its good end."""

    def __init__(self, log: Path, *arguments: str, **environment: str) -> None:
        self._log = log.open("w")
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            env={**os.environ, "DATABASE_URL": _database_url(), "CELERY_SKIP_CHECKS": "true", **environment},
            cwd=settings.BASE_DIR,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        return self._end(signal.SIGTERM)

    def finish(self) -> None:
        """Wait for a program that ends by itself."""
        assert self.process.wait(TIMEOUT) == 0, Path(self._log.name).read_text()
        self._log.close()

    def _end(self, number: signal.Signals) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(TIMEOUT)
        self._log.close()
        return status


def start_worker(log: Path, *, host: str = "local", **environment: str) -> Process:
    arguments = ["-m", "celery", "-A", "left4me", "worker", "--loglevel", "INFO", "--queues", f"host.{host}"]
    arguments += ["--include", "left4me.jobs.tests.operations", "--without-gossip", "--without-mingle"]
    return Process(log, *arguments, LEFT4ME_HOST=host, **environment)


def start_web(log: Path, collected_static: Path) -> tuple[Process, int]:
    """The whole web, streams included; returns it with its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    words = ["-m", "uvicorn", "left4me.asgi:application", "--port", str(port), "--no-access-log"]
    web = Process(log, *words, LEFT4ME_STATIC_ROOT=str(collected_static))
    wait_until(lambda: _listens(port), what="the web")
    return web, port


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _database_url() -> str:
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{database['NAME']}"
    host = str(database["HOST"]).replace("/", "%2F")
    port = f":{database['PORT']}" if database["PORT"] else ""
    return f"postgres://{database['USER']}@{host}{port}/{database['NAME']}"
