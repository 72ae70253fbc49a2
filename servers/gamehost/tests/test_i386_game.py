"""A 32-bit program that behaves like srcds, behind a start script like Valve's, as the game of the process runtime."""

from __future__ import annotations

import errno
import os
import signal
import stat
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from servers.gamehost import launcher
from servers.gamehost.directory import ServerDirectory
from servers.gamehost.port import Outcome, State
from servers.gamehost.sandbox import kernel, landlock
from servers.gamehost.spec import InstanceSpec
from servers.gamehost.tests.i386 import game
from servers.gamehost.tests.stage import ORDINARY, Stage, give, open_directory, wait_until
from servers.gamehost.tests.test_process import stage  # noqa: F401 -- as root, and as an ordinary user
from servers.gamehost.tests.test_sandbox import FUSE, HAS_FUSE

pytestmark = pytest.mark.i386


@pytest.fixture(scope="module")
def tree() -> Iterator[Path]:
    with open_directory() as base:
        game.build(base / "tree")
        yield base / "tree"


@pytest.fixture
def laid(tree: Path, stage: Stage) -> Stage:  # noqa: F811 -- the fixture of test_process
    game.lay(tree, stage)
    return stage


def _lines(stage: Stage) -> list[str]:  # noqa: F811
    return [line.text for line in stage.runtime.tail(1, lines=1000)]


def test_it_is_started_supervised_polled_and_stopped(laid: Stage) -> None:
    spec = game.spec(laid)
    assert laid.runtime.start(spec) is Outcome.STARTED
    wait_until(lambda: game.answers(spec))
    assert laid.observe(spec).state is State.RUNNING
    found = game.probes(_lines(laid))
    assert game.surprises(found) == {}
    assert len(found) > 70
    assert '#  2 1 "Ellis"' in game.ask(spec, "status")
    game.ask(spec, "quit")
    wait_until(lambda: laid.observe(spec).restarts == 1 and game.answers(spec))
    assert laid.runtime.stop(1, quit_game=lambda: game.ask(spec, "quit") and None) is Outcome.STOPPED
    assert not game.answers(spec)


def test_its_crash_handler_traces_it_and_writes_a_dump_beside_it(laid: Stage) -> None:
    spec = game.spec(laid, allow_ptrace=True)
    laid.runtime.start(spec)
    wait_until(lambda: game.answers(spec))
    assert game.surprises(game.probes(_lines(laid)), may_trace=True) == {}
    with pytest.raises(game.rcon.RconError):
        game.ask(spec, "crash")
    wait_until(lambda: laid.observe(spec).restarts == 1 and game.answers(spec))
    last = laid.observe(spec).last_exit
    assert last is not None and last.signal == signal.SIGSEGV
    dump = (laid.root / "servers/1/upper/left4dead2/crash.dmp").read_text()
    assert dump == "signal 11, ptrace granted\n"


def _refuse(*_: object, **__: object) -> int:
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


def _newest() -> None:
    pass


def _without_mount_calls() -> None:
    kernel.make_filesystem = _refuse


def _with_fuse_only() -> None:
    mount = kernel.mount

    def mount_no_overlay(source: str, target: str, kind: str, flags: int = 0, data: str = "") -> None:
        if kind == "overlay":
            _refuse()
        mount(source, target, kind, flags, data)

    kernel.make_filesystem = _refuse
    kernel.mount = mount_no_overlay


def _without_landlock() -> None:
    landlock.version = lambda: 0


def _without_own_proc() -> None:
    mount = kernel.mount

    def mount_no_proc(source: str, target: str, kind: str, flags: int = 0, data: str = "") -> None:
        if kind == "proc":
            raise PermissionError(errno.EPERM, "refused")
        mount(source, target, kind, flags, data)

    kernel.mount = mount_no_proc


def _without_own_host_name() -> None:
    kernel.set_host_name = _refuse


def _without_everything_new() -> None:
    for level in (_without_mount_calls, _without_landlock, _without_own_host_name):
        level()


def _open_fuse_to_all(place: Path) -> None:
    """As root: without udev, as in many containers, the device is root's only."""
    if FUSE.exists():
        node = place / "fuse"
        os.mknod(node, stat.S_IFCHR | 0o600, FUSE.stat().st_rdev)
        node.chmod(0o666)
        kernel.unshare(kernel.CLONE_NEWNS)
        kernel.mount("", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
        kernel.mount(str(node), str(FUSE), "", kernel.MS_BIND)


def _launch(
    spec: InstanceSpec, directory: ServerDirectory, console: Path, level: Callable[[], None], user: int
) -> NoReturn:
    """In a child of its own: what the level takes away stays away from the other tests."""
    try:
        if user != os.geteuid():
            _open_fuse_to_all(console.parent)
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            kernel.prctl(kernel.PR_SET_DUMPABLE, 1)  # as after an exec: /proc/self is the user's own again
        level()
        directory.prepare()
        directory.write_spec(spec)
        lock = directory.try_lock()
        assert lock is not None
        with console.open("w") as output:
            launched = launcher.launch(directory, lock=lock, output=output.fileno())
        os.waitpid(launched.init, 0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


LEVELS = [
    (_newest, {}),
    (_without_mount_calls, {}),
    pytest.param(_with_fuse_only, {}, marks=pytest.mark.skipif(not HAS_FUSE, reason="needs fuse-overlayfs")),
    (_without_landlock, {}),
    # The machine's own processes do not show, not even the game's own.
    (_without_own_proc, {"proc_exe": "ENOENT", "proc_maps": "ENOENT", "proc_status": "ENOENT"}),
    (_without_own_host_name, {}),
    (_without_everything_new, {}),
]


@pytest.mark.parametrize(("level", "missing"), LEVELS)
@pytest.mark.parametrize("user", [0, ORDINARY] if os.geteuid() == 0 else [os.geteuid()])
def test_it_runs_on_every_level_of_the_kernel(
    tree: Path, level: Callable[[], None], missing: dict[str, str], user: int
) -> None:
    with open_directory() as base:
        stage = Stage(base / "root", runtime=None)  # type: ignore[arg-type]
        game.lay(tree, stage)
        spec = game.spec(stage)
        give(stage.root, user)
        console = base / "console"
        console.touch()
        console.chmod(0o666)
        directory = ServerDirectory(stage.root / "servers/1")
        (stage.root / "servers/1").mkdir(parents=True)
        give(stage.root / "servers", user)
        pid = os.fork()
        if pid == 0:
            _launch(spec, directory, console, level, user)
        try:
            wait_until(lambda: game.answers(spec))
            found = game.probes(console.read_text().splitlines())
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        confined = landlock.version() >= 4 and level not in (_without_landlock, _without_everything_new)
        assert game.surprises(found, ports_are_confined=confined) == missing
        assert len(found) > 70
        wait_until(lambda: not game.answers(spec))
