"""Compose a server's tree, confine the game to it, and execute the game. Both runtimes use this.

    python3 -S -E -m servers.gamehost.launcher /path/of/servers/12

runs one game in the foreground (the systemd unit does); the supervisor of the process runtime calls `launch`.
Standard library only. Three processes stay: the launcher outside; process 1 of the sandbox, which reaps, and ends with
the launcher; the game (`sandbox_processes.py`). When process 1 ends, the kernel ends whatever the game started and
takes the mounts away, so that nothing is left to clean up.
"""

from __future__ import annotations

import contextlib
import json
import marshal
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, NoReturn, TextIO

from left4me.core.processes import procfs
from servers.gamehost import sandbox_processes
from servers.gamehost.directory import ServerDirectory
from servers.gamehost.port import LaunchFailed, MountFailed, RuntimeFault, State
from servers.gamehost.sandbox import cgroup, identity, kernel
from servers.gamehost.spec import InstanceSpec, RestartPolicy, SpecInvalid, StopLimits

EXIT_GAME_ENDED: Final = 69
EXIT_ALREADY_RUNNING: Final = 70
EXIT_MOUNT_FAILED: Final = 71
EXIT_LAUNCH_FAILED: Final = 72

_LOCK_PATIENCE_SECONDS: Final = 10
_NO_MESSAGE: Final = "the launcher exited without a message"

# Stores a state of the server, with the pid of process 1 if there is one. Returns plain values.
Tell = Callable[[State, int | None], dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Launched:
    init: int  # process 1 of the sandbox, as the host counts; a child of the caller
    lifeline: int  # kept open by the caller; process 1 ends when the caller does
    story: str  # for the log: how the tree was composed, how long it took, what this kernel does not support
    told: dict[str, Any]  # what `tell` returned last
    stop: StopLimits
    restart: RestartPolicy


def launch(
    directory: ServerDirectory, *, lock: int, output: int | None = None, tell: Tell = lambda _state, _init: {}
) -> Launched:
    """Start the game of the directory's spec and return once it executes.

    Its stdout and stderr go to `output`, or to the caller's. `lock` is the directory's, which process 1 holds as
    well. The caller has no other child. It waits for `init`, whose exit status is the game's (128 + n for signal n).
    Raises MountFailed or LaunchFailed; then no process of this start is left.

    A child does the work and ends, so that the caller stays small. It also calls `tell`, with STARTING and RUNNING.
    """
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)  # so that process 1 becomes a child of ours
    lifeline_out, lifeline = os.pipe()
    answer, answer_in = os.pipe()
    helper = os.fork()
    if helper == 0:
        os.close(lifeline)  # only the caller holds it, so that process 1 notices the end of that
        _answer(answer_in, lambda: _start_game(directory, lock, output, lifeline_out, tell))
    os.close(lifeline_out)
    os.close(answer_in)
    with os.fdopen(answer, "rb") as file:
        said = file.read()
    os.waitpid(helper, 0)
    facts: dict[str, Any] = marshal.loads(said) if said else {"words": _NO_MESSAGE}  # noqa: S302 -- our own child's
    if "words" in facts:
        os.close(lifeline)
        _end_children()
        raise (MountFailed if facts.get("fault") == "MountFailed" else LaunchFailed)(facts["words"])
    stop, restart = StopLimits(**facts.pop("stop")), RestartPolicy(**facts.pop("restart"))
    return Launched(lifeline=lifeline, stop=stop, restart=restart, **facts)


def _answer(answer: int, work: Callable[[], dict[str, Any]]) -> NoReturn:
    """Do the work of the child and end it. Only plain values pass; of a fault, the name of its class."""
    try:
        facts = work()
    except (RuntimeFault, SpecInvalid, OSError) as fault:
        facts = {"fault": type(fault).__name__, "words": str(fault)}
    except BaseException as error:  # a child of fork must not unwind into the launcher's frames
        facts = {"words": repr(error)}
    try:
        with os.fdopen(answer, "wb") as file:
            file.write(marshal.dumps(facts))
    finally:
        os._exit(0)


def _end_children() -> None:
    for pid in procfs.children(os.getpid()):
        os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def _start_game(
    directory: ServerDirectory, lock: int, output: int | None, lifeline: int, tell: Tell
) -> dict[str, Any]:
    started = time.monotonic()
    report, report_in = os.pipe()
    release_out, release = os.pipe()
    start = sandbox_processes.Start(
        directory=directory,
        who=identity.of(directory.server_id),
        report=report_in,
        release=release_out,
        lifeline=lifeline,
        lock=lock,
        output=output,
    )
    # First of all: whatever this process has done before, process 1 has in memory too.
    stage = sandbox_processes.fork_stage(start)
    os.close(report_in)
    os.close(release_out)
    spec = directory.read_spec()
    tell(State.STARTING, None)
    os.waitpid(stage, 0)
    with os.fdopen(report) as lines:
        facts = _accompany(lines, release, spec)
    # Complete means: process 1 exists, nobody reported a fault, and the game got as far as its network rules.
    if "init" not in facts or "fault" in facts or "network_confined" not in facts:
        fault = MountFailed if facts.get("fault") == "MountFailed" else LaunchFailed
        raise fault(facts.get("words") or _NO_MESSAGE)
    return {
        "init": facts["init"],
        "story": _story(spec, facts, time.monotonic() - started),
        "told": tell(State.RUNNING, facts["init"]),
        "stop": asdict(spec.stop),
        "restart": asdict(spec.restart),
    }


def _accompany(report: TextIO, release: int, spec: InstanceSpec) -> dict[str, Any]:
    """Release process 1 once it is in its cgroup. Returns the facts that it and the game reported before the exec."""
    facts: dict[str, Any] = json.loads(report.readline() or "{}")
    if "init" in facts:
        facts["limited"] = cgroup.place(facts["init"], server_id=spec.server_id, limits=spec.limits)
        with contextlib.suppress(BrokenPipeError):
            os.write(release, b"g")
    for line in report:
        facts.update(json.loads(line))
    return facts


def _story(spec: InstanceSpec, facts: dict[str, Any], seconds: float) -> str:
    story = f"{len(spec.layers)} layers combined by {facts['composed_by']} in {seconds * 1000:.0f} ms"
    if not facts["network_confined"]:
        story += "; this kernel cannot restrict the game's outgoing ports"
    if not facts.get("can_trace", True):
        story += "; this host does not allow ptrace, so crash reporters write nothing"
    if cgroup.parent() and not facts["limited"]:
        story += "; no cgroup is available, so memory is limited only per process"
    return story


def main(argv: list[str]) -> int:
    """Run one server in the foreground, for a service manager.

    Exits with 0 when the end was requested, by a signal or by `ServerDirectory.expect_end`. How the game itself ended
    is stored there. Any other end is a failure, whatever the game's own status, so that systemd restarts the unit.
    """
    directory = ServerDirectory(Path(argv[1]))
    signal.pthread_sigmask(signal.SIG_BLOCK, sandbox_processes.FORWARDED | {signal.SIGCHLD})
    try:
        directory.prepare()
        lock = lock_patiently(directory)
        if lock is None:
            print("left4me: the server is already running", file=sys.stderr)  # noqa: T201
            return EXIT_ALREADY_RUNNING
        launched = launch(directory, lock=lock)
    except (RuntimeFault, OSError) as error:
        print(f"left4me: {error}", file=sys.stderr)  # noqa: T201
        return EXIT_MOUNT_FAILED if isinstance(error, MountFailed) else EXIT_LAUNCH_FAILED
    print(f"left4me: started: {launched.story}", flush=True)  # noqa: T201
    _tell_service_manager("READY=1")
    was_signalled = False
    while True:
        # systemd asks for the end by a signal; process 1 hands it on to the game.
        if signal.sigwait(sandbox_processes.FORWARDED | {signal.SIGCHLD}) in sandbox_processes.FORWARDED:
            was_signalled = True
            os.kill(launched.init, signal.SIGTERM)
        pid, status = os.waitpid(launched.init, os.WNOHANG)
        if pid:
            code = os.waitstatus_to_exitcode(status)
            was_requested = directory.note_exit(code if code >= 0 else 128 - code, time.time())
            return 0 if was_signalled or was_requested else EXIT_GAME_ENDED


def lock_patiently(directory: ServerDirectory, *, unless: Callable[[], bool] = lambda: False) -> int | None:
    """The directory's lock, for the life of this process and of process 1. Waits for a game that is just ending.

    None if it stays locked, or as soon as `unless` returns true.
    """
    deadline = time.monotonic() + _LOCK_PATIENCE_SECONDS
    while (lock := directory.try_lock()) is None:
        if time.monotonic() > deadline or unless():
            return None
        time.sleep(0.05)
    return lock


def _tell_service_manager(message: str) -> None:
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    import socket  # costs a megabyte of memory, and the process runtime does not need it

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
        notify.connect(f"\0{address[1:]}" if address.startswith("@") else address)
        notify.send(message.encode())


if __name__ == "__main__":
    sys.exit(main(sys.argv))
