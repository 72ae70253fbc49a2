"""Compose a server's tree, confine the game to it, and execute the game. Both runtimes use this.

    python3 -S -E -m servers.gamehost.launcher /path/of/servers/12

runs one game in the foreground (the systemd unit does); the supervisor of the process runtime calls `launch`.
Standard library only. Three processes: the launcher outside; process 1 of the sandbox, which makes the mounts,
reaps, and ends with the launcher; the game. When process 1 ends, the kernel ends whatever the game started
and takes the mounts away, so that nothing is left to clean up.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Final, NoReturn, TextIO

from left4me.core.files import walk
from servers.gamehost import moved_files, removals
from servers.gamehost.directory import ServerDirectory
from servers.gamehost.port import LaunchFailed, MountFailed, RuntimeFault
from servers.gamehost.sandbox import cgroup, identity, kernel, landlock, rootfs, seccomp, socketcall
from servers.gamehost.sandbox.identity import Identity
from servers.gamehost.spec import GAME_PATH, REMOVALS_PATH, InstanceSpec, SpecInvalid

EXIT_GAME_ENDED: Final = 69
EXIT_ALREADY_RUNNING: Final = 70
EXIT_MOUNT_FAILED: Final = 71
EXIT_LAUNCH_FAILED: Final = 72

_NAMESPACES: Final = kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
_NO_NAMESPACES: Final = (
    "the kernel does not allow user namespaces for this user (see kernel.unprivileged_userns_clone, "
    "kernel.apparmor_restrict_unprivileged_userns, user.max_user_namespaces)"
)
_FORWARDED: Final = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
_LOCK_PATIENCE_SECONDS: Final = 10
_LOOK_SECONDS: Final = 5


@dataclass(frozen=True, kw_only=True)
class Launched:
    init: int  # process 1 of the sandbox, as the host counts; a child of the caller
    lifeline: int  # kept open by the caller; process 1 ends when the caller does
    story: str  # for the log: how the tree was composed, how long it took, what this kernel does not support


@dataclass(frozen=True)
class _Start:
    """The values that the processes of one start share."""

    spec: InstanceSpec
    directory: ServerDirectory
    who: Identity
    report: int  # the pipe for facts and faults to the launcher; the exec closes it
    wait: int  # readable when the launcher is ready; closed when the launcher ends
    lock: int
    output: int | None


def launch(spec: InstanceSpec, directory: ServerDirectory, *, lock: int, output: int | None = None) -> Launched:
    """Start the game and return once it executes; its stdout and stderr go to `output`, or to the caller's.

    `lock` is the directory's, which process 1 holds as well. The caller waits for the `init` child, whose
    exit status is the game's (128 + n for signal n). Raises MountFailed or LaunchFailed; then no process of this
    start is left.
    """
    started = time.monotonic()
    who = identity.of(spec.server_id)
    directory.prepare()
    directory.hand_over(who)
    directory.note_layers(spec.layers)
    spec = _with_moved_files(spec, directory, who)
    _remove(directory, directory.exchange_generated({*spec.generated, *spec.replaceable}))
    with contextlib.suppress(OSError):  # a full disk must not prevent the start
        removals.settle(directory)
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)  # so that process 1 becomes a child of ours
    report_out, report_in = os.pipe()
    wait_out, lifeline = os.pipe()
    start = _Start(spec, directory, who, report_in, wait_out, lock, output)
    stage = os.fork()
    if stage == 0:
        _guarded(start, _enter_namespaces)
    os.close(report_in)
    os.close(wait_out)
    os.waitpid(stage, 0)
    with os.fdopen(report_out) as report:
        facts = _accompany(report, lifeline, spec)
    init = facts.get("init")
    # Complete means: process 1 exists, nobody reported a fault, and the game got as far as its network rules. Anything
    # less ends with process 1, which ends when the lifeline closes.
    if init is None or "fault" in facts or "network_confined" not in facts:
        os.close(lifeline)
        if init is not None:
            os.waitpid(init, 0)
        fault = MountFailed if facts.get("fault") == "MountFailed" else LaunchFailed
        raise fault(facts.get("words") or "the launcher exited without a message")
    return Launched(init=init, lifeline=lifeline, story=_story(spec, facts, time.monotonic() - started))


def _remove(directory: ServerDirectory, stale: set[str]) -> None:
    """Remove generated files of the last start from the writable layer, so that those of the layers below appear.

    Before the mount: removed through it, they would leave marks that hide these.
    """
    for name in stale:
        *above, last = PurePosixPath(name).parts
        with contextlib.suppress(OSError), walk.folder(directory.upper, above) as handle:
            walk.unlink(last, at=handle)


def _with_moved_files(spec: InstanceSpec, directory: ServerDirectory, who: Identity) -> InstanceSpec:
    """The spec with the layer of moved files on top. Raises MountFailed."""
    try:
        layer = moved_files.lay(directory, spec.moved, spec.layers, who=who)
        directory.note_moved(spec.moved)
    except OSError as error:
        raise MountFailed(f"files could not be moved for this server: {_words(error)}") from error
    return spec if layer is None else replace(spec, layers=(str(layer), *spec.layers), moved={})


def _accompany(report: TextIO, lifeline: int, spec: InstanceSpec) -> dict[str, Any]:
    """Release process 1 once it is in its cgroup. Returns the facts that it and the game reported before the exec."""
    facts: dict[str, Any] = json.loads(report.readline() or "{}")
    if "init" in facts:
        facts["limited"] = cgroup.place(facts["init"], server_id=spec.server_id, limits=spec.limits)
        with contextlib.suppress(BrokenPipeError):
            os.write(lifeline, b"g")
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


def _say(report: int, **facts: object) -> None:
    os.write(report, (json.dumps(facts) + "\n").encode())


def _guarded(start: _Start, work: Callable[[_Start], None]) -> NoReturn:
    """Run the work of a forked child and exit. Errors are reported to the launcher instead of being raised."""
    try:
        work(start)
    except RuntimeFault as fault:
        _say(start.report, fault=type(fault).__name__, words=str(fault))
    except OSError as error:
        _say(start.report, fault="LaunchFailed", words=_words(error))
    except BaseException as error:  # a child of fork must not unwind into the launcher's frames
        _say(start.report, fault="LaunchFailed", words=repr(error))
    finally:
        os._exit(EXIT_LAUNCH_FAILED)


def _words(error: OSError) -> str:
    return f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")


def _enter_namespaces(start: _Start) -> None:
    """Enter the namespaces, start process 1 in them, and exit."""
    signal.set_wakeup_fd(-1)
    _close_all_but({0, 1, 2, start.report, start.wait, start.lock, start.output})
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_DFL)  # process 1 ignores what it has no handler for
    signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED | {signal.SIGCHLD})
    try:
        shift = identity.shifting_namespace(start.who) if start.who.by_root else None
        if not start.who.by_root:
            identity.enter_user_namespace(start.who)
        kernel.unshare(_NAMESPACES)
    except PermissionError:
        raise MountFailed(_NO_NAMESPACES) from None
    except OSError as error:
        raise MountFailed(f"namespaces could not be created: {_words(error)}") from error
    init = os.fork()
    if init == 0:
        _guarded(start, lambda s: _run_init(s, shift))
    _say(start.report, init=init)
    os._exit(0)


def _run_init(start: _Start, shift: int | None) -> None:
    """Process 1: mount, drop privileges, write the generated files, start the game, then reap until it ends.

    Meanwhile it removes the files of the game that the application names (`servers.gamehost.removals`).
    """
    # The launcher first puts this process under its limits.
    if os.read(start.wait, 1) != b"g":
        os._exit(EXIT_LAUNCH_FAILED)
    place = start.directory
    try:
        how = rootfs.enter(start.spec, who=start.who, shift=shift, root=place.merged, writable=place.path)
    except OSError as error:
        raise MountFailed(_words(error)) from error
    identity.become(start.who)
    # After the change of user, which clears it. The pipe shows whether the launcher died before this line.
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if select.select([start.wait], [], [], 0)[0]:
        os._exit(EXIT_LAUNCH_FAILED)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)  # the game runs as the same user and may neither trace nor read process 1
    rootfs.write_generated(start.spec.generated, replaceable=start.spec.replaceable)
    _say(start.report, composed_by=how)
    line = socketcall.Line()
    game = os.fork()
    if game == 0:
        _guarded(start, lambda s: _become_game(s, line))
    line.serve()
    os.close(start.report)
    os.chdir("/")
    _reap_until_ended(game)


def _close_all_but(kept: set[int | None]) -> None:
    below = 0
    for fd in sorted(fd for fd in kept if fd is not None):
        if below < fd:  # closerange takes an empty range for all there are
            os.closerange(below, fd)
        below = fd + 1
    os.closerange(below, 1 << 20)


def _reap_until_ended(game: int) -> NoReturn:
    errand = removals.Errand(Path(REMOVALS_PATH), Path(GAME_PATH))
    while True:
        heard = signal.sigtimedwait(_FORWARDED | {signal.SIGCHLD}, _LOOK_SECONDS)
        if heard is None:
            errand.run()
            continue
        if heard.si_signo in _FORWARDED:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(game, signal.SIGTERM)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid == game:
                code = os.waitstatus_to_exitcode(status)
                os._exit(code if code >= 0 else 128 - code)


def _become_game(start: _Start, line: socketcall.Line) -> None:
    spec = start.spec
    os.setsid()
    os.dup2(os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC), 0)
    if start.output is not None:
        os.dup2(start.output, 1)
        os.dup2(start.output, 2)
    _close_all_but({0, 1, 2, start.report, line.descriptor})
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)  # Python ignores these, and a program inherits that
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    _limit(spec)
    confined = landlock.restrict_network(listen=spec.port, connect=spec.connect_ports)
    _say(start.report, network_confined=confined)
    line.hand_over(seccomp.install_with_listener(allow_ptrace=spec.allow_ptrace))
    if spec.allow_ptrace:
        _say(start.report, can_trace=seccomp.can_trace())
    os.umask(0o027)
    os.chdir(GAME_PATH)
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": GAME_PATH,
        "USER": "game",
        "LANG": "C.UTF-8",
        "TMPDIR": "/tmp",  # noqa: S108 -- the sandbox's own
        **spec.env,
    }
    try:
        os.execvpe(spec.argv[0], spec.argv, environment)  # noqa: S606 -- a list, and nothing of it from a shell
    except OSError as error:
        raise LaunchFailed(f"{spec.argv[0]} cannot be executed: {error.strerror}") from error


def _limit(spec: InstanceSpec) -> None:
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: spec.limits.file_size,
        resource.RLIMIT_NOFILE: spec.limits.open_files,
        # Counted per user and user namespace, so per server; memory is per process. A cgroup, where there is
        # one, limits them together.
        resource.RLIMIT_NPROC: spec.limits.tasks,
        resource.RLIMIT_DATA: spec.limits.memory,
    }
    for what, most in limits.items():
        hard = resource.getrlimit(what)[1]
        value = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (value, value))


def main(argv: list[str]) -> int:
    """Run one server in the foreground, for a service manager.

    Exits with 0 when the end was requested, by a signal or by `ServerDirectory.expect_end`. How the game itself ended
    is stored there. Any other end is a failure, whatever the game's own status, so that systemd restarts the unit.
    """
    directory = ServerDirectory(Path(argv[1]))
    signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED | {signal.SIGCHLD})
    try:
        spec = directory.read_spec()
        directory.prepare()
        lock = lock_patiently(directory)
        if lock is None:
            print("left4me: the server is already running", file=sys.stderr)  # noqa: T201
            return EXIT_ALREADY_RUNNING
        launched = launch(spec, directory, lock=lock)
    except (RuntimeFault, SpecInvalid, OSError) as error:
        print(f"left4me: {error}", file=sys.stderr)  # noqa: T201
        return EXIT_MOUNT_FAILED if isinstance(error, MountFailed) else EXIT_LAUNCH_FAILED
    print(f"left4me: started: {launched.story}", flush=True)  # noqa: T201
    _tell_service_manager("READY=1")
    was_signalled = False
    while True:
        # systemd asks for the end by a signal; process 1 hands it on to the game.
        if signal.sigwait(_FORWARDED | {signal.SIGCHLD}) in _FORWARDED:
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
