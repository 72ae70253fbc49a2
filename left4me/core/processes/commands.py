"""Runs subprocesses. All subprocesses of the project go through here; the linter refuses `subprocess` elsewhere.

So a few rules hold everywhere: no shell, a time limit, a typed exception for each kind of failure, and a process
group per command that is ended as a whole.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pty
import select
import signal
import subprocess  # noqa: TID251 -- this module is the door
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from left4me.core.concurrency import Cancelled
from left4me.core.processes import process_guard, procfs
from left4me.core.processes.identity import Identity

OnLine = Callable[[str], None]

_CHUNK = 65_536
_LONGEST_LINE = 65_536
_TERM_GRACE_SECONDS = 1.0
_POLL_SECONDS = 0.2
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class CommandError(Exception):
    """A command failed. The message names the program, and contains no arguments, which may be secret."""


class CommandMissing(CommandError):
    """The program is not installed or not executable."""


class CommandFailed(CommandError):
    """The program ended with a status that is not 0."""

    def __init__(self, program: str, status: int, tail: str) -> None:
        self.program = program
        self.status = status
        self.tail = tail
        how = f"was ended by signal {-status}" if status < 0 else f"exited with status {status}"
        super().__init__(f"{program} {how}" + (f": {tail}" if tail else ""))


class CommandTimedOut(CommandError):
    """The program ran longer than it may; its whole process group was ended."""

    def __init__(self, program: str, timeout: float) -> None:
        self.program = program
        self.timeout = timeout
        super().__init__(f"{program} did not finish within {timeout:g} s and was ended")


@dataclass(frozen=True)
class Finished:
    status: int
    output: str
    seconds: float


def run(
    argv: Sequence[str | Path],
    *,
    timeout: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | BinaryIO | None = None,
    identity: Identity | None = None,
    on_line: OnLine | None = None,
    cancelled: Callable[[], bool] | None = None,
    check: bool = True,
    with_pty: bool = False,
    keep_output: int = 1_000_000,
) -> Finished:
    """Run `argv` to its end and return its status and the last `keep_output` characters of its output.

    `env` is the whole environment when given. With `identity`, root is given up before the program, and so any of
    these variables, has an effect. stdout and stderr arrive together, in order, at `on_line`.
    `with_pty` gives the program a terminal, for those that buffer in blocks without one.
    Raises CommandMissing, CommandTimedOut, concurrency.Cancelled (after the whole process group was ended)
    and, with `check`, CommandFailed.
    """
    args = [str(a) for a in argv]
    program = Path(args[0]).name
    started = time.monotonic()
    reader, process, output_name = _spawn(
        args, program, cwd=cwd, env=env, stdin=stdin, identity=identity, with_pty=with_pty
    )
    kept: list[str] = []
    size = 0
    try:
        for line in _lines(reader, process, program, started + timeout, timeout, cancelled):
            kept.append(line)
            size += len(line) + 1
            while size > keep_output and len(kept) > 1:
                size -= len(kept.pop(0)) + 1
            if on_line is not None:
                on_line(line)
        status = process.wait()
    except BaseException:
        end_group(process.pid)
        process.wait()
        raise
    finally:
        os.close(reader)
        process_guard.forget(output_name)
    output = "\n".join(kept)
    if check and status != 0:
        raise CommandFailed(program, status, "\n".join(kept[-5:])[-600:])
    return Finished(status, output, time.monotonic() - started)


def end_with_parent() -> None:
    """Have the kernel send this process SIGTERM when the thread that forked it ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def start_piped(argv: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a service in a session of its own with its output on one pipe; it gets SIGTERM when the caller dies.

    Only for a caller with a single thread: the kernel ties the death signal to the thread that forked.
    """
    try:
        return subprocess.Popen(
            [str(a) for a in argv],
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=end_with_parent,
        )
    except (FileNotFoundError, PermissionError) as error:
        raise CommandMissing(f"can't run {argv[0]}: {error.strerror}") from error


def end_group(pid: int, *, grace: float = _TERM_GRACE_SECONDS) -> None:
    """End the process group that `pid` leads: TERM, and KILL for what is left after `grace` seconds."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGTERM)
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline:
            # killpg(…, 0) would also succeed when only the zombie of the leader is left.
            if pid not in procfs.living_groups():
                return
            time.sleep(0.02)
        os.killpg(pid, signal.SIGKILL)


def _spawn(
    args: list[str],
    program: str,
    *,
    cwd: Path | None,
    env: Mapping[str, str] | None,
    stdin: str | BinaryIO | None,
    identity: Identity | None,
    with_pty: bool,
) -> tuple[int, subprocess.Popen[bytes], str]:
    reader, writer = pty.openpty() if with_pty else os.pipe()
    output_name = process_guard.expect(writer)
    source: int | BinaryIO = subprocess.PIPE if isinstance(stdin, str) else stdin or subprocess.DEVNULL
    uid = gid = groups = None
    if identity is not None and not identity.is_ours:
        uid, gid, groups = identity.uid, identity.gid, identity.groups
    try:
        process = subprocess.Popen(
            args,
            cwd=cwd,
            env=None if env is None else dict(env),
            stdin=source,
            stdout=writer,
            stderr=writer,
            start_new_session=True,
            user=uid,
            group=gid,
            extra_groups=groups,
        )
        process_guard.know(output_name, process.pid)
    except (FileNotFoundError, PermissionError, NotADirectoryError) as error:
        os.close(reader)
        process_guard.forget(output_name)
        raise CommandMissing(f"can't run {program}: {error.strerror}") from error
    finally:
        os.close(writer)
    if isinstance(stdin, str) and process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(stdin.encode())
            process.stdin.close()
    return reader, process, output_name


def _lines(
    reader: int,
    process: subprocess.Popen[bytes],
    program: str,
    deadline: float,
    timeout: float,
    cancelled: Callable[[], bool] | None,
) -> Iterator[str]:
    buffer = b""
    ended = False
    # Not `select`, which knows descriptors below 1024 only.
    waiting = select.poll()
    waiting.register(reader, select.POLLIN)
    while True:
        if cancelled is not None and cancelled():
            if buffer:  # a question, for example, which has no line feed
                yield buffer.decode("utf-8", "replace")
            raise Cancelled(f"{program} was cancelled")
        if time.monotonic() > deadline:
            raise CommandTimedOut(program, timeout)
        if waiting.poll(_POLL_SECONDS * 1000):
            chunk = _read(reader)
            if not chunk:
                break
            buffer += chunk
            *whole, buffer = buffer.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
            for raw in whole:
                yield raw.decode("utf-8", "replace")
            if len(buffer) > _LONGEST_LINE:
                yield buffer.decode("utf-8", "replace")
                buffer = b""
        elif ended:
            # A grandchild may hold the pipe open after the program itself has ended: do not wait for it.
            break
        ended = process.poll() is not None
    if buffer:
        yield buffer.decode("utf-8", "replace")


def _read(reader: int) -> bytes:
    try:
        return os.read(reader, _CHUNK)
    except OSError:
        # A pty answers EIO, not end of file, once its last writer is gone.
        return b""
