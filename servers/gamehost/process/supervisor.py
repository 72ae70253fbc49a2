"""The supervisor of the process runtime, one small process per server: starts the game, stores its log, restarts and
ends it.

    python3 -S -E -m servers.gamehost.process.supervisor "/path/of/servers/          "

is the template that supervisors are forked from, each into a session of its own, so that games outlive worker and
web. A supervisor receives orders as signals (see Order) and reports in the state file. When it is killed, its game
ends with it, so that nothing runs unmanaged: the server is observed as crashed and abandoned, and the reconciler
starts it again.

A supervisor has in memory, for as long as its game runs, whatever it has done once. So it has others start the game.
"""

from __future__ import annotations

import _socket
import array
import contextlib
import ctypes
import gc
import os
import select
import signal
import sys
import time
from enum import IntEnum
from pathlib import Path
from typing import Any, Final, NoReturn

from left4me.core.processes import procfs
from servers.gamehost import launcher
from servers.gamehost.directory import ServerDirectory
from servers.gamehost.launcher import EXIT_ALREADY_RUNNING, EXIT_LAUNCH_FAILED, EXIT_MOUNT_FAILED, Launched
from servers.gamehost.port import Exit, MountFailed, RuntimeFault, State
from servers.gamehost.process.console import Writer
from servers.gamehost.sandbox import cgroup
from servers.gamehost.spec import RestartPolicy, StopLimits

# The first byte of an answer: somebody is at work on the request. The status of the start and its message follow.
TAKEN: Final = b"t"
_CHUNK: Final = 65_536


class Order(IntEnum):
    """The signals that a supervisor understands."""

    HOLD = signal.SIGUSR1  # the game is about to be asked to quit: do not restart it after its exit
    END = signal.SIGTERM  # end the game: TERM, and KILL after the spec's time
    KILL = signal.SIGUSR2  # end everything at once


class Supervisor:
    def __init__(self, directory: ServerDirectory, *, lock: int) -> None:
        self._pid = os.getpid()
        self._lock = lock
        self._directory = directory
        self._log = Writer(directory.logs)
        self._launched: Launched | None = None
        self._output: int | None = None
        self._ending = False
        self._term_at: float | None = None
        self._kill_at: float | None = None
        self._exits: list[float] = []  # monotonic times of exits that were not requested
        self._stop = StopLimits()
        self._restart = RestartPolicy()
        self._state: dict[str, Any] = {"boot": procfs.boot_id(), "restarts": 0, "exit": None}
        self._signals = _signal_pipe()
        self._poll = select.poll()
        self._poll.register(self._signals, select.POLLIN)

    def start(self) -> None:
        """The first start. Raises MountFailed or LaunchFailed, after storing the state STOPPED."""
        try:
            self._launch()
        except RuntimeFault as fault:
            self._log.event(f"start failed: {fault}")
            self._tell(State.STOPPED, detail=str(fault))
            raise

    def run(self) -> None:
        """Supervise the game until it is ended on request, or ended unasked too often."""
        while self._launched is not None:
            self._look_after()
            self._settle(self._finish())

    def _settle(self, code: int) -> None:
        """After an exit: finish if it was requested, otherwise restart, with growing pauses and within the limit."""
        while self._launched is None:
            # The exit was requested, possibly during the pause of an earlier one.
            if self._ending:
                return self._tell(State.STOPPED, ended=code)
            # Too many exits within the policy's time: a restart would only fail again.
            pause = self._pause_before_restart()
            if pause is None:
                return self._give_up(code)
            self._tell(State.CRASHED, ended=code, detail=f"ended with {_exit_text(code)}", again_in=pause)
            # An order to end during the pause ends it at once; the loop then takes the first branch.
            if not self._ordered_within(pause):
                self._launch_again()
        return None

    def _launch_again(self) -> None:
        self._state["restarts"] = len(self._exits)
        try:
            self._launch()
        except (RuntimeFault, OSError) as fault:
            self._log.event(f"start failed: {fault}")

    def _launch(self) -> None:
        reader, writer = os.pipe()
        try:
            launched = launcher.launch(self._directory, lock=self._lock, output=writer, tell=self._tell_of_start)
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        self._launched = launched
        self._stop, self._restart = launched.stop, launched.restart
        self._state = dict(launched.told)
        self._output = reader
        self._poll.register(reader, select.POLLIN)
        self._log.event(f"started: {launched.story}")

    def _tell_of_start(self, state: State, init: int | None) -> dict[str, Any]:
        """In the child that starts the game: store its state, and return that to the supervisor."""
        if init is not None:
            self._state["started_at"] = time.time()
        self._tell(state, init=init)
        return self._state

    def _look_after(self) -> None:
        """Store output and follow orders until the game's pipe closes, which is when its last process has ended."""
        while self._output is not None:
            for fd, _ in self._poll.poll(self._poll_timeout()):
                if fd == self._signals:
                    self._follow_orders()
                elif data := os.read(fd, _CHUNK):
                    self._log.feed(data)
                else:
                    self._close_output()
            self._keep_deadlines()

    def _poll_timeout(self) -> float | None:
        due = [at for at in (self._term_at, self._kill_at) if at is not None]
        return max(0.0, min(due) - time.monotonic()) * 1000 + 1 if due else None

    def _keep_deadlines(self) -> None:
        now = time.monotonic()
        if self._term_at is not None and now >= self._term_at:
            self._end()
        if self._kill_at is not None and now >= self._kill_at:
            self._kill_at = None
            self._signal(signal.SIGKILL)

    def _follow_orders(self) -> None:
        for number in os.read(self._signals, 100):
            if number == Order.HOLD and not self._ending:
                self._ending = True
                # The caller may die before its next order, and a stop that has begun must be completed.
                self._term_at = time.monotonic() + 2 * self._stop.quit_seconds
                self._tell(State.STOPPING)
            elif number == Order.END:
                self._end()
            elif number == Order.KILL:
                self._ending = True
                self._signal(signal.SIGKILL)

    def _end(self) -> None:
        self._term_at = None
        if self._kill_at is None:
            self._ending = True
            self._kill_at = time.monotonic() + self._stop.term_seconds
            self._tell(State.STOPPING)
            self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        if self._launched is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._launched.init, number)

    def _close_output(self) -> None:
        if self._output is not None:
            self._poll.unregister(self._output)
            os.close(self._output)
            self._output = None

    def _finish(self) -> int:
        """Wait for process 1, whose end closed the pipe. Returns the exit code, 128 + n for signal n."""
        launched, self._launched = self._launched, None
        if launched is None:
            return 0
        _, status = os.waitpid(launched.init, 0)
        os.close(launched.lifeline)
        cgroup.remove(self._directory.server_id)
        self._log.finish()
        code = os.waitstatus_to_exitcode(status)
        code = code if code >= 0 else 128 - code
        self._log.event(f"exited: {_exit_text(code)}")
        return code

    def _pause_before_restart(self) -> float | None:
        policy = self._restart
        now = time.monotonic()
        self._exits = [at for at in self._exits if now - at < policy.within_seconds] + [now]
        if len(self._exits) > policy.most:
            return None
        return policy.pause_before(len(self._exits))

    def _ordered_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not self._ending and (left := deadline - time.monotonic()) > 0:
            if self._poll.poll(left * 1000 + 1):
                self._follow_orders()
        return self._ending

    def _give_up(self, code: int) -> None:
        policy = self._restart
        reason = f"crashed {len(self._exits)} times within {policy.within_seconds:g} s, last exit: {_exit_text(code)}"
        self._log.event(f"stopped retrying: {reason}")
        self._tell(State.GAVE_UP, ended=code, detail=reason)

    def _tell(
        self,
        state: State,
        *,
        init: int | None = None,
        ended: int | None = None,
        detail: str = "",
        again_in: float | None = None,
    ) -> None:
        if "supervisor" not in self._state:
            self._state["supervisor"] = procfs.named(self._pid)
        if self._launched is None:
            self._state["init"] = procfs.named(init) if init else None
        self._state.update(
            state=state.value,
            detail=detail,
            starts_again_at=None if again_in is None else time.time() + again_in,
            last_lines=list(self._log.last_lines) if state in (State.CRASHED, State.GAVE_UP) else [],
        )
        if ended is not None:
            self._state["exit"] = {"code": ended, "at": time.time()}
        if state in (State.STOPPED, State.GAVE_UP):
            self._directory.write_final_state(self._state)
            return
        with contextlib.suppress(OSError):  # a full disk must not end the game
            self._directory.write_state(self._state)


def _exit_text(code: int) -> str:
    return str(Exit(status=code, signal=code - 128 if code > 128 else None, at=None))


def _signal_pipe() -> int:
    """A pipe into which every received signal writes a byte, so that one poll waits for signals and output."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    for number in Order:
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    return reader


def _answer(ready: int, code: int, message: str = "") -> None:
    os.write(ready, bytes([code]) + message.encode())
    os.close(ready)


def _detach(directory: ServerDirectory) -> None:
    """Start a session that keeps nothing of the caller: neither its terminal nor its pipes."""
    os.setsid()
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    trace = directory.state_file.with_name("supervisor.err")
    errors = os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    for standard, target in ((0, null), (1, null), (2, errors)):
        os.dup2(target, standard)


def _supervise(directory: ServerDirectory, ready: int) -> NoReturn:
    try:
        _detach(directory)
        lock = launcher.lock_patiently(directory, unless=directory.is_managed)
        if lock is None:
            _answer(ready, EXIT_ALREADY_RUNNING)
            os._exit(EXIT_ALREADY_RUNNING)
        try:
            supervisor = Supervisor(directory, lock=lock)
            supervisor.start()
        except (RuntimeFault, OSError) as fault:
            code = EXIT_MOUNT_FAILED if isinstance(fault, MountFailed) else EXIT_LAUNCH_FAILED
            _answer(ready, code, str(fault))
            os._exit(code)
        _answer(ready, 0)
        supervisor.run()
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)


def _become_template() -> _socket.socket:
    """Go to the background with nothing but the socket of requests, which is standard input."""
    if template := os.fork():
        print(template)  # noqa: T201
        sys.stdout.flush()
        os._exit(0)
    requests = _socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.close(null)
    return requests


def _last_argument() -> tuple[int, int]:
    """Where the last argument of this process lies in memory, and its length."""
    first = int(procfs.stat_fields(os.getpid())[procfs.ARGUMENTS])
    words = Path("/proc/self/cmdline").read_bytes().removesuffix(b"\0").split(b"\0")
    return first + sum(len(word) + 1 for word in words[:-1]), len(words[-1])


def main() -> int:
    """Be the template that supervisors are forked from (`template.py`): one for each request, until none can come."""
    procfs.boot_id()
    argument, room = _last_argument()
    requests = _become_template()
    gc.collect()
    gc.freeze()  # forks share these pages as long as the collector does not write to them
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for supervisors
    while True:
        directory, rights, _, _ = requests.recvmsg(4096, _socket.CMSG_SPACE(4), _socket.MSG_CMSG_CLOEXEC)
        if not directory:
            return 0
        (ready,) = array.array("i", rights[0][2])
        with contextlib.suppress(BrokenPipeError):  # whoever asked has ended
            os.write(ready, TAKEN)
            try:
                supervisor = os.fork()
            except OSError as error:
                _answer(ready, EXIT_LAUNCH_FAILED, f"no supervisor could be started: {error.strerror}")
                continue
            if supervisor == 0:
                requests.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                # Lists of processes show the server's directory instead of the template's argument.
                ctypes.memmove(argument, directory[:room].ljust(room, b"\0"), room)
                _supervise(ServerDirectory(Path(os.fsdecode(directory))), ready)
        os.close(ready)


if __name__ == "__main__":
    sys.exit(main())
