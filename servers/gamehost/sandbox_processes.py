"""The processes of a sandbox: one that enters its namespaces and ends, process 1, and process 2, the later game.

Each thing that a process of Python does makes its memory a little larger, and that of its forks too. So process 1,
which stays beside the game, does hardly anything. Process 2 does the rest, and its exec frees all of it. Standard
library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final, NoReturn

from left4me.core.files import walk
from servers.gamehost import moved_files, removals
from servers.gamehost.directory import ServerDirectory
from servers.gamehost.port import LaunchFailed, MountFailed, RuntimeFault
from servers.gamehost.sandbox import identity, kernel, landlock, rootfs, seccomp, socketcall
from servers.gamehost.sandbox.identity import Identity
from servers.gamehost.spec import GAME_PATH, REMOVALS_PATH, InstanceSpec

FORWARDED: Final = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
_NAMESPACES: Final = kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
_NO_NAMESPACES: Final = (
    "the kernel does not allow user namespaces for this user (see kernel.unprivileged_userns_clone, "
    "kernel.apparmor_restrict_unprivileged_userns, user.max_user_namespaces)"
)
_LOOK_SECONDS: Final = 5
_FAILED: Final = 1  # the status of a process that has reported why


@dataclass(frozen=True)
class Start:
    """The values that the processes of one start share."""

    directory: ServerDirectory
    who: Identity
    report: int  # the pipe for facts and faults to the launcher; the exec closes it
    release: int  # a pipe in which a `g` comes when process 1 is under its limits
    lifeline: int  # a pipe that nobody writes to, and that is at its end when the launcher has ended
    lock: int
    output: int | None


def fork_stage(start: Start) -> int:
    """Start the processes; returns the pid of the first, which the caller waits for.

    Process 1 then is a child of the caller, if that is a subreaper. It waits for its release, after which process 2
    reads the spec. Both report to `start.report`.
    """
    pid = os.fork()
    if pid == 0:
        _guarded(start, _enter_namespaces)
    return pid


def _guarded(start: Start, work: Callable[[Start], None]) -> NoReturn:
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
        os._exit(_FAILED)


def _say(report: int, **facts: object) -> None:
    os.write(report, (json.dumps(facts) + "\n").encode())


def _words(error: OSError) -> str:
    return f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")


def _enter_namespaces(start: Start) -> None:
    """Enter the namespaces, start process 1 in them, and exit."""
    signal.set_wakeup_fd(-1)
    _close_all_but({0, 1, 2, start.report, start.release, start.lifeline, start.lock, start.output})
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_DFL)  # process 1 ignores what it has no handler for
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED | {signal.SIGCHLD})
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


def _run_init(start: Start, shift: int | None) -> None:
    """Process 1: start process 2, give up all rights, and reap until the game ends.

    Meanwhile it removes the files of the game that the application names (`servers.gamehost.removals`).
    """
    # The launcher first puts this process under its limits.
    if os.read(start.release, 1) != b"g":
        os._exit(_FAILED)
    os.chdir("/")  # whoever is at the root is taken along when process 2 changes it
    line = socketcall.Line()
    confined, confine = os.pipe()
    game = os.fork()
    if game == 0:
        os.close(confine)
        _guarded(start, lambda s: _run_game(s, shift, line, confined))
    os.close(confined)
    if shift is not None:
        os.close(shift)
    identity.become(start.who)
    # After the change of user, which clears it. The pipe shows whether the launcher died before this line.
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if select.select([start.lifeline], [], [], 0)[0]:
        os._exit(_FAILED)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)  # the game runs as the same user and may neither trace nor read process 1
    line.serve()
    with contextlib.suppress(BrokenPipeError):  # process 2 has failed, and said why
        os.write(confine, b"g")
    os.close(confine)
    os.close(start.report)
    _reap_until_ended(game)


def _reap_until_ended(game: int) -> NoReturn:
    errand = removals.Errand(Path(REMOVALS_PATH), Path(GAME_PATH))
    while True:
        heard = signal.sigtimedwait(FORWARDED | {signal.SIGCHLD}, _LOOK_SECONDS)
        if heard is None:
            errand.run()
            continue
        if heard.si_signo in FORWARDED:
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


def _run_game(start: Start, shift: int | None, line: socketcall.Line, confined: int) -> None:
    """Process 2: compose the tree, give up all rights, write the generated files, and become the game."""
    spec = _prepare(start)
    place = start.directory
    try:
        how = rootfs.enter(spec, who=start.who, shift=shift, root=place.merged, writable=place.path)
    except OSError as error:
        raise MountFailed(_words(error)) from error
    identity.become(start.who)
    rootfs.write_generated(spec.generated, replaceable=spec.replaceable)
    _say(start.report, composed_by=how)
    # The game must not meet a process 1 that still has rights, or that it could read.
    if os.read(confined, 1) != b"g":
        os._exit(_FAILED)
    _become_game(start, spec, line)


def _prepare(start: Start) -> InstanceSpec:
    """Make the directories of the server ready for the mount. Returns the spec with the layer of moved files on top.

    Raises OSError, SpecInvalid or MountFailed.
    """
    directory = start.directory
    spec = directory.read_spec()
    directory.prepare()
    directory.hand_over(start.who)
    directory.note_layers(spec.layers)
    spec = _with_moved_files(spec, directory, start.who)
    _remove(directory, directory.exchange_generated({*spec.generated, *spec.replaceable}))
    with contextlib.suppress(OSError):  # a full disk must not prevent the start
        removals.settle(directory)
    return spec


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


def _become_game(start: Start, spec: InstanceSpec, line: socketcall.Line) -> None:
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


def _close_all_but(kept: set[int | None]) -> None:
    below = 0
    for fd in sorted(fd for fd in kept if fd is not None):
        if below < fd:  # closerange takes an empty range for all there are
            os.closerange(below, fd)
        below = fd + 1
    os.closerange(below, 1 << 20)


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
