"""Real `celery worker` processes on the test's own database and Redis."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.db import connection

TIMEOUT = 60.0


def wait_until(condition: Callable[[], object], *, seconds: float = TIMEOUT, what: str = "the condition") -> float:
    """Wait and return how long it took; fails when it takes longer than `seconds`."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"{what} did not come within {seconds:g} s"
        time.sleep(0.01)
    return time.monotonic() - began


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class WorkerProcess:
    """One worker; `kill` is as hard as it sounds, `stop` waits for its good end."""

    def __init__(self, log: Path, *, host: str = "local") -> None:
        self._log = log.open("w")
        argv = [sys.executable, "-m", "celery", "-A", "left4me", "worker", "--loglevel", "INFO"]
        argv += ["--include", "left4me.jobs.tests.operations", "--queues", f"host.{host}"]
        argv += ["--without-gossip", "--without-mingle"]
        self.process = subprocess.Popen(
            argv,
            env={**os.environ, "DATABASE_URL": _database_url(), "LEFT4ME_HOST": host, "CELERY_SKIP_CHECKS": "true"},
            cwd=settings.BASE_DIR,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        status = self.process.wait(TIMEOUT)
        self._log.close()
        return status


def _database_url() -> str:
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{database['NAME']}"
    host = str(database["HOST"]).replace("/", "%2F")
    port = f":{database['PORT']}" if database["PORT"] else ""
    return f"postgres://{database['USER']}@{host}{port}/{database['NAME']}"
