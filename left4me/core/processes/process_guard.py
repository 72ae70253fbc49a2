"""A guard process that kills the subprocesses of a worker when the worker itself is killed.

The guard is this file, run as a program. The worker writes to a pipe which process groups it has started; the pipe
closes when the worker ends, however it ends, and the guard kills the groups that are left. The kernel's death signal
(prctl) would not do: it is bound to the thread that forked, and reaches a program but not the program's children.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess  # noqa: TID251 -- a part of the door: commands.run tells it what it starts
import sys
import threading
import time
from pathlib import Path

if __name__ == "__main__":
    # Run as `python -I -S PATH`, which leaves the checkout out of the search path.
    sys.path.append(str(Path(__file__).resolve().parents[3]))

from left4me.core.processes import procfs

_SECONDS_TO_APPEAR = 1.0
_SECONDS_TO_DIE = 10.0


class Guard:
    """The worker's side: keeps the guard process informed, and starts a new one when it is gone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, int | None] = {}
        self._process = self._start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, output: str, group: int | None) -> None:
        """Report a program that writes to `output`: about to start (None), or the leader of a process group."""
        with self._lock:
            self._running[output] = group
            self._say(_line(output, group))

    def forget(self, output: str) -> None:
        with self._lock:
            if self._running.pop(output, 0) != 0:
                self._say(f"- {output}\n")

    def _say(self, line: str) -> None:
        try:
            self._write(line)
        except OSError:
            self._process = self._start()
            for output, group in self._running.items():
                self._write(_line(output, group))

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None  # noqa: S101 -- it is started with a pipe
        # Shorter than the pipe's atomic size, so a death in the middle cannot leave half a line.
        os.write(self._process.stdin.fileno(), line.encode())

    @staticmethod
    def _start() -> subprocess.Popen[bytes]:
        # A session of its own: Ctrl-C in the terminal and a killed group must not take the guard first.
        argv = [sys.executable, "-I", "-S", str(Path(__file__).resolve())]
        return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)


class _This:
    guard: Guard | None = None


def guard_this_process() -> int:
    """Let all that `commands.run` starts from now on end with this process, even when it is killed.

    Returns the guard's pid; once that is gone, so is all that this process had started.
    """
    if _This.guard is None:
        _This.guard = Guard()
    return _This.guard.pid


def expect(writer: int) -> str:
    """Report that a program is about to start with this descriptor as its output; return the output's name."""
    if _This.guard is None:
        return ""
    output = str(Path(f"/proc/self/fd/{writer}").readlink())
    _This.guard.tell(output, None)
    return output


def know(output: str, group: int) -> None:
    if _This.guard is not None and output:
        _This.guard.tell(output, group)


def forget(output: str) -> None:
    if _This.guard is not None and output:
        _This.guard.forget(output)


def _line(output: str, group: int | None) -> str:
    return f"+ {output} {group or 0}\n"


# --- the guard's own process ---


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    running: dict[str, int] = {}
    for line in sys.stdin:
        word, output, *group = line.split()
        if word == "+":
            running[output] = int(group[0])
        else:
            running.pop(output, None)
    groups = {group for group in running.values() if group}
    for group in groups:
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)
    just_started = {output for output, group in running.items() if not group}
    deadline = time.monotonic() + _SECONDS_TO_APPEAR
    while just_started and time.monotonic() < deadline:
        _kill_writers(just_started)
        time.sleep(0.02)
    # Others take the end of the guard as proof that nothing is left, and a killed program may take a moment to die.
    deadline = time.monotonic() + _SECONDS_TO_DIE
    while time.monotonic() < deadline and groups & procfs.living_groups():
        time.sleep(0.02)


def _kill_writers(outputs: set[str]) -> None:
    """Kill the processes that have one of `outputs` open: they were started just as the worker died."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            held = {str(descriptor.readlink()) for descriptor in (entry / "fd").iterdir()}
        except OSError:
            continue
        if held & outputs:
            pid = int(entry.name)
            with contextlib.suppress(OSError):
                # A process that does not lead a group yet is still in the worker's group, which others share.
                (os.killpg if os.getpgid(pid) == pid else os.kill)(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
