"""Fixtures of a worker host: this process is one, and the web is another process with a data directory of its own."""

from __future__ import annotations

import os
import shutil
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from django.utils import timezone

from accounts import secrets
from accounts.models import User
from left4me.jobs.models import Job
from left4me.jobs.tests.processes import Process, wait_until
from left4me.testing.jobs import drain
from overlays.models import Overlay
from servers.gamehost.port import State
from servers.hosts import this_host
from servers.models import Host, HostToken, Server
from servers.models.hosts import TOKEN_PREFIX
from servers.tests.factories import make_host, make_server
from servers.tests.fake_runtime import FakeRuntime


class Web:
    """The web's side: its data directory and the process that serves it."""

    def __init__(self, root: Path, log: Path, port: int) -> None:
        self.root, self.url = root, f"http://127.0.0.1:{port}"
        self._log, self._port = log, port
        self._process: Process | None = None

    def start(self) -> None:
        if self._process is not None:
            return
        self._process = Process(
            self._log,
            *("-m", "uvicorn", "left4me.content:application", "--port", str(self._port), "--no-access-log"),
            LEFT4ME_ROOT=str(self.root),
            REDIS_URL="unix:///nowhere",
        )
        wait_until(self._answers, what="the content's process")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process = None

    def tree(self, overlay: Overlay) -> Path:
        return self.root / "overlays" / overlay.path

    def _answers(self) -> bool:
        try:
            return requests.get(self.url, timeout=5).status_code == 404
        except requests.ConnectionError:
            return False


@pytest.fixture(scope="module", name="web_process")
def process_of_web(tmp_path_factory, django_db_setup, unused_tcp_port):
    place = tmp_path_factory.mktemp("web")
    web = Web(place / "root", place / "web.log", unused_tcp_port)
    yield web
    web.stop()


@pytest.fixture(name="web")
def far_web(web_process, db):
    """The process with an empty data directory, started again if a test before has stopped it."""
    web_process.root.mkdir()
    web_process.start()
    yield web_process
    shutil.rmtree(web_process.root)


@pytest.fixture(scope="module", name="unused_tcp_port")
def port_of_web() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(name="two")
def worker_host(db, settings, tmp_path, web) -> Host:
    """This process is the worker of a second host from now on."""
    host = make_host(name="two")
    raw = secrets.new(TOKEN_PREFIX)
    HostToken.objects.create(host=host, digest=secrets.digest(raw))
    settings.LEFT4ME_ROOT = tmp_path / "two"
    settings.LEFT4ME_ROOT.mkdir()
    settings.LEFT4ME_WEB_URL, settings.LEFT4ME_HOST_TOKEN = web.url, raw
    return host


class Pair:
    """The web's own host and the worker host `two`; the test is now the worker of the one, now of the other."""

    def __init__(self, settings: Any, web: Web, two: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        self._settings, self._far = settings, (settings.LEFT4ME_ROOT, settings.LEFT4ME_WEB_URL)
        self._near = (web.root, "")
        self.web, self.runtime = web, FakeRuntime()
        self.local = make_host(name="local", last_seen_at=timezone.now(), game_version="1")
        self.two = two
        self.local.facts = self.two.facts = {"disk": {"free": 10**12, "total": 10**13}}
        self.two.last_seen_at, self.two.game_version = timezone.now(), "1"
        self.local.save()
        self.two.save()
        monkeypatch.setattr(this_host, "runtime", lambda: self.runtime)
        # Nobody answers for the hosts.
        monkeypatch.setattr("servers.hosts.ports.ask", lambda host, asked: {})

    @contextmanager
    def on(self, name: str) -> Iterator[Path]:
        """Be the worker of this host."""
        root, url = self._near if name == "local" else self._far
        self._settings.LEFT4ME_ROOT, self._settings.LEFT4ME_WEB_URL, self._settings.LEFT4ME_HOST = root, url, name
        yield root
        self._settings.LEFT4ME_HOST = "local"

    def drain(self, name: str) -> Job:
        with self.on(name):
            (job,) = drain(host=name)
        return job

    def upper(self, name: str, server: Server) -> Path:
        root = (self._near if name == "local" else self._far)[0]
        return root / "servers" / str(server.pk) / "upper"

    def make_server_with_files(self, owner: User) -> Server:
        """A running server of the worker host, with what games, left4me and the kernel put into its directory."""
        server = make_server(
            owner, host=self.two, name="Friday", port=27020, desired_state="running", actual_state="running"
        )
        self.runtime.set(server.pk, State.RUNNING)
        upper = self.upper("two", server)
        (upper / "left4dead2/cfg").mkdir(parents=True)
        (upper / "left4dead2/demo.dem").write_bytes(os.urandom(9_000_000))
        (upper / "left4dead2/cfg/own.cfg").write_text("sv_x 1\n")
        os.mknod(upper / "left4dead2/motd.txt", stat.S_IFCHR, 0)
        (upper.parent / "kept.json").write_text('{"left4dead2/cfg/own.cfg": [1, 2]}')
        return server


@pytest.fixture(name="pair")
def pair_of_hosts(settings, web, two, monkeypatch) -> Pair:
    return Pair(settings, web, two, monkeypatch)
