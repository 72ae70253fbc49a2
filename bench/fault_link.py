"""The second host of `bench/faults all`: a worker of its own, behind a link that can be cut or stand still."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

from bench.faults_application import REPOSITORY, Application, free_ports

NAME = "two"
# More than servers, so that one which moves here and back finds another.
_PORTS = 20


class Link:
    """Passes connections on, from one address to another; both are arguments of `socket.connect`."""

    def __init__(self, *, to: Any, at: Path | None = None) -> None:
        self._to = to
        self._open: set[socket.socket] = set()
        self._flows = threading.Event()
        self._flows.set()
        self._is_cut = False
        family = socket.AF_INET if at is None else socket.AF_UNIX
        self._listening = socket.socket(family)
        self._listening.bind(("127.0.0.1", 0) if at is None else str(at))
        self._listening.listen(64)
        self.address = self._listening.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    @contextlib.contextmanager
    def cut(self) -> Iterator[None]:
        """No connection stays, and new ones end at once."""
        self._is_cut = True
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        try:
            yield
        finally:
            self._is_cut = False

    @contextlib.contextmanager
    def stalled(self) -> Iterator[None]:
        """Connections stay, and carry nothing."""
        self._flows.clear()
        try:
            yield
        finally:
            self._flows.set()

    def _accept(self) -> None:
        while True:
            near, _address = self._listening.accept()
            if self._is_cut:
                near.close()
                continue
            far = socket.socket(socket.AF_UNIX if isinstance(self._to, str) else socket.AF_INET)
            try:
                far.connect(self._to)
            except OSError:
                near.close()
                far.close()
                continue
            self._open |= {near, far}
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := one.recv(65_536):
                self._flows.wait()
                other.sendall(piece)
        for each in (one, other):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            self._open.discard(each)


class SecondHost:
    """A worker with a data directory of its own. It reaches broker and web by the link; they share the database."""

    def __init__(self, app: Application, root: Path) -> None:
        from django.core.management import call_command

        from servers.models import Host

        printed = StringIO()
        call_command("add_host", NAME, stdout=printed)
        given = json.loads(printed.getvalue())
        # Several benches on one machine have games side by side.
        ports = free_ports(_PORTS)
        Host.objects.filter(name=NAME).update(first_port=ports[0], last_port=ports[-1])
        root.mkdir()
        broker = root.parent / "link.sock"
        host, _, port = app.base.removeprefix("http://").partition(":")
        self.links = [
            Link(to=str(app.root / "run" / "redis.sock"), at=broker),
            Link(to=(host, int(port))),
        ]
        self.env = {
            **app.env,
            "LEFT4ME_ROOT": str(root),
            "LEFT4ME_HOST": NAME,
            "LEFT4ME_WEB_URL": f"http://127.0.0.1:{self.links[1].address[1]}",
            "LEFT4ME_HOST_TOKEN": given["token"],
            "LEFT4ME_SEALING_KEY": given["sealing_key"],
            "LEFT4ME_SECRET_KEY": (app.root / "secret_key").read_text().strip(),
            "DATABASE_URL": f"sqlite:///{app.root}/left4me.sqlite3",
            "REDIS_URL": f"unix://{broker}",
            "CELERY_SKIP_CHECKS": "true",
        }
        self.root = root
        self._log = (root.parent / "two.log").open("ab")
        self._process: subprocess.Popen[bytes] | None = None
        self.revive()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def revive(self) -> None:
        """Start the worker unless it runs, as its unit does."""
        if self.pid is None:
            argv = [sys.executable, "-m", "left4me.worker"]
            self._process = subprocess.Popen(
                argv, cwd=REPOSITORY, env=self.env, stdout=self._log, stderr=self._log, start_new_session=True
            )

    @contextlib.contextmanager
    def cut(self) -> Iterator[None]:
        with contextlib.ExitStack() as all_of_them:
            for link in self.links:
                all_of_them.enter_context(link.cut())
            yield

    @contextlib.contextmanager
    def stalled(self) -> Iterator[None]:
        with contextlib.ExitStack() as all_of_them:
            for link in self.links:
                all_of_them.enter_context(link.stalled())
            yield

    def end(self) -> None:
        if self._process is not None and self.pid is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(20)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, 9)
        self._log.close()
