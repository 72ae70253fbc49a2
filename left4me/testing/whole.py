"""Starts the whole application with bin/up, on its own data directory and ports, with the simulated game."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
_UP_SECONDS = 120


class Whole:
    def __init__(self, root: Path, static: Path, database: Path, **settings: str) -> None:
        self.root = root
        # What it would make itself, which takes longer than all else.
        shutil.copytree(static, root / "static")
        shutil.copyfile(database, root / "left4me.sqlite3")
        web, first = _free_port(), _free_port()
        last = min(first + 9, 65535)
        self.url = f"http://127.0.0.1:{web}"
        self._env = clean_environment() | {
            "LEFT4ME_ROOT": str(root),
            "LEFT4ME_BIND": f"127.0.0.1:{web}",
            "LEFT4ME_GAME": "simulated",
            "LEFT4ME_PORTS": f"{first}-{last}",
            "PYTHONWARNINGS": "ignore",
            **settings,
        }
        with closing(sqlite3.connect(root / "left4me.sqlite3")) as rows, rows:
            rows.execute("UPDATE servers_host SET first_port = ?, last_port = ?", (first, last))
        self._log = (root / "up.log").open("wb")
        self._up = subprocess.Popen(
            [sys.executable, "-m", "deploy.up"], env=self._env, cwd=REPOSITORY, stdout=self._log, stderr=self._log
        )

    def wait_until_up(self) -> None:
        deadline = time.monotonic() + _UP_SECONDS
        while not self._answers():
            assert self._up.poll() is None and time.monotonic() < deadline, (self.root / "up.log").read_text()
            time.sleep(0.1)

    def manage(self, *arguments: str, said: str = "") -> str:
        """Run a command of manage.py with `said` on its standard input; what it prints."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            env=self._env,
            cwd=REPOSITORY,
            input=said,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def end(self) -> None:
        """End it and its games."""
        self._up.send_signal(signal.SIGINT)
        self._up.wait(60)
        self._log.close()
        self.manage("stop_games")

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:  # noqa: S310 -- our own address
                return bool(answer.status == 200)
        except OSError:
            return False


def clean_environment() -> dict[str, str]:
    """The variables of this process without left4me's settings."""
    foreign = ("LEFT4ME_", "DATABASE_", "REDIS_", "DJANGO_")
    return {name: text for name, text in os.environ.items() if not name.startswith(foreign)}


@pytest.fixture
def whole(tmp_path: Path, collected_static: Path, migrated_database: Path) -> Iterator[Callable[..., Whole]]:
    """`whole(LEFT4ME_SIGNUP="open")` starts it with these settings and waits until it answers."""
    started: list[Whole] = []

    def start(**settings: str) -> Whole:
        application = Whole(tmp_path, collected_static, migrated_database, **settings)
        started.append(application)
        application.wait_until_up()
        return application

    yield start
    for application in started:
        application.end()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
