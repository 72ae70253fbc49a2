"""No program outlives the process that runs it: a guard kills what a worker leaves behind when it is killed itself.

The guard is this file as a process of its own. It hears over a pipe which process groups belong to the worker; the
pipe closes with the worker, however that dies. The kernel's own death signal would not do: it follows the thread that
forked, and ends a program but not the programs that this one has started.
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
    # The guard's process starts without any search path of its own.
    sys.path.append(str(Path(__file__).resolve().parents[3]))

from left4me.core.processes import procfs

_SECONDS_TO_APPEAR = 1.0
_SECONDS_TO_DIE = 10.0


class Guard:
    """Tells the guard process what runs; starts it again should it be gone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, int | None] = {}
        self._process = self._start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, output: str, group: int | None) -> None:
        """A program that writes to `output` is about to start (None), or leads this process group."""
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
    """From now on, what `commands.run` starts here ends with this process, even when that is killed.

    Returns the guard's pid; once that is gone, so is all that this process had started.
    """
    if _This.guard is None:
        _This.guard = Guard()
    return _This.guard.pid


def expect(writer: int) -> str:
    """Say that a program is about to start with this descriptor as its output; returns the output's name."""
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
    # The guard's own end tells others that all of it is over, and a killed program may take a moment to die.
    deadline = time.monotonic() + _SECONDS_TO_DIE
    while time.monotonic() < deadline and groups & procfs.living_groups():
        time.sleep(0.02)


def _kill_writers(outputs: set[str]) -> None:
    """Kill who holds one of `outputs`: it was started in the very moment in which the worker died."""
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
                # Before it leads a group of its own, it is still in the worker's, where others may be.
                (os.killpg if os.getpgid(pid) == pid else os.kill)(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
