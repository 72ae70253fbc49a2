"""The process that supervisors are forked from: it has loaded their program once, and does nothing else.

A page of memory is in memory once until one of the forks writes to it, so a supervisor costs what it works with, and
starting one costs no interpreter. The template knows nothing of any server, ends with the process that started it, and
no supervisor depends on it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import threading
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from left4me.core.processes import commands
from servers.gamehost.port import LaunchFailed

_LOAD_SECONDS: Final = 60
_TAKE_SECONDS: Final = 20
_START_SECONDS: Final = 60
# Room for the number of a server in the command line, which each supervisor replaces by its own.
_ROOM: Final = " " * 20


@dataclass(frozen=True)
class _Running:
    requests: socket.socket
    pidfd: int
    owner: int  # the process that started it


class Template:
    """Has supervisors started. May be used from several threads; a process that was forked gets a template of its own.

    `python` runs it in the directory `project`; `servers` is the directory that those of servers are in.
    """

    def __init__(self, *, python: str, project: Path, servers: Path, environment: Mapping[str, str]) -> None:
        self._python = python
        self._project = project
        self._servers = servers
        self._environment = environment
        self._lock = threading.Lock()
        self._running: _Running | None = None

    def start_supervisor(self, directory: Path) -> tuple[int, str]:
        """Start the supervisor of a server. Returns the status of its start, 0 if the game executes, and a message.

        Raises LaunchFailed if there is no answer.
        """
        # A second time with a new template: the first one may have been killed or stopped.
        answer = self._request(directory) or self._request(directory)
        if answer is None:
            raise LaunchFailed("no supervisor could be started")
        with os.fdopen(answer, "rb", buffering=0) as file:
            said = _read_within(file.fileno(), _START_SECONDS)
        if not said:
            raise LaunchFailed(f"the supervisor exited, or did not start the game within {_START_SECONDS} s")
        return said[0], said[1:].decode("utf-8", "replace").strip()

    def _request(self, directory: Path) -> int | None:
        """Send a request. Returns the pipe for its answer, or None if the template did not take it; that is ended."""
        template = self._present()
        reader, writer = os.pipe()
        try:
            socket.send_fds(template.requests, [os.fsencode(directory)], [writer])
            is_sent = True
        except OSError:
            is_sent = False
        finally:
            os.close(writer)  # so that the pipe ends with the template's copy
        if is_sent and _is_readable_within(reader, _TAKE_SECONDS) and os.read(reader, 1):
            return reader
        os.close(reader)
        self._drop(template)
        return None

    def _present(self) -> _Running:
        with self._lock:
            # A fork may have become another user.
            if self._running is None or self._running.owner != os.getpid():
                self._running = self._load()
            return self._running

    def _load(self) -> _Running:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        module = "servers.gamehost.process.supervisor"
        try:
            with theirs, theirs.makefile("rb") as requests:
                done = commands.run(
                    [self._python, "-S", "-E", "-m", module, f"{self._servers}/{_ROOM}"],
                    cwd=self._project,
                    env=self._environment,
                    stdin=requests,
                    timeout=_LOAD_SECONDS,
                    check=False,
                )
            if done.status != 0:
                raise LaunchFailed(f"the program of supervisors could not be loaded: {done.output.strip()}")
            running = _Running(ours, os.pidfd_open(int(done.output)), os.getpid())
        except BaseException:
            ours.close()
            raise
        weakref.finalize(running, _let_go, ours, running.pidfd)
        return running

    def _drop(self, template: _Running) -> None:
        """Kill a template that does not answer. The supervisors that it has started stay."""
        with self._lock:
            if self._running is template:
                self._running = None
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(template.pidfd, signal.SIGKILL)


def _let_go(requests: socket.socket, pidfd: int) -> None:
    requests.close()
    os.close(pidfd)


def _is_readable_within(descriptor: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(max(0.0, seconds) * 1000))


def _read_within(descriptor: int, seconds: float) -> bytes:
    """What is written until every writer has closed, or the time is over."""
    deadline = time.monotonic() + seconds
    said = b""
    while _is_readable_within(descriptor, deadline - time.monotonic()) and (piece := os.read(descriptor, 65_536)):
        said += piece
    return said
