"""Runs a function in a fork of this process, as if it were a program of its own.

What this process has loaded is in memory once then, and need not be loaded by each of them. Only a process with a
single thread may fork: no other thread would exist in the child, and a lock that one held would stay locked.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from left4me.core.processes import commands

# A function that is a program: what it returns is its status, and None is 0.
Body = Callable[[], int | None]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Fork:
    """A forked process, with the members of subprocess.Popen that a supervisor needs."""

    def __init__(self, pid: int, stdout: BinaryIO) -> None:
        self.pid = pid
        self.stdout = stdout
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The status once the process has ended: that of its program, or minus the number of a signal."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


def start(body: Body, *, name: str) -> Fork:
    """Call `body` in a fork: in a session of its own, with its output on a pipe. SIGTERM ends it with the caller.

    `ps` and `pgrep` show it as `name`, of which the kernel keeps 15 characters.
    """
    caller = os.getpid()
    reader, writer = os.pipe()
    is_program, closes = os.pipe()
    # They are this process's own until the child has let go of what it inherits.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                _become_program(name, writer, caller)
                status = _run(body)
            finally:
                # The frames below belong to the caller, and so does what they would do at their end.
                os._exit(status)
    except OSError:
        os.close(reader)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        os.close(writer)
        os.close(closes)
        # It has closed what it inherits. Before, there is no group of processes that the caller could end.
        os.read(is_program, 1)
        os.close(is_program)
    return Fork(pid, os.fdopen(reader, "rb", buffering=0))


def _become_program(name: str, output: int, caller: int) -> None:
    os.setsid()
    commands.end_with_parent()
    if os.getppid() != caller:
        os._exit(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    # Objects of the caller's frames refer to the others. They are never used again, and never end.
    for descriptor in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
        if descriptor > 2:
            with contextlib.suppress(OSError):
                os.close(descriptor)
    Path("/proc/self/comm").write_text(name)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def _run(body: Body) -> int:
    """Call `body`, and end as an interpreter does: wait for threads, then call what was registered with `atexit`."""
    try:
        return body() or 0
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        # As multiprocessing does in the processes that it forks.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()
