from __future__ import annotations

import errno
import os
import socket
import stat
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from servers.gamehost.sandbox import cgroup, identity, kernel, overlay, seccomp
from servers.gamehost.spec import Limits
from servers.gamehost.tests.stage import ORDINARY, give, open_directory

KERNEL = tuple(int(part) for part in os.uname().release.split(".")[:2])
HAS_FUSE = os.access("/usr/bin/fuse-overlayfs", os.X_OK) and os.access("/dev/fuse", os.R_OK | os.W_OK)
FUSE = Path("/dev/fuse")


@pytest.fixture
def layers() -> Iterator[Path]:
    with open_directory() as base:
        for name in ("0", "1", "w/upper", "w/work", "merged"):
            (base / name).mkdir(parents=True)
        (base / "0/file").write_text("upper one")
        (base / "1/file").write_text("lower one")
        (base / "1/other").write_text("other")
        if os.geteuid() == 0:
            give(base, ORDINARY)
            if FUSE.exists() and not FUSE.stat().st_mode & 0o006:
                # Without udev, as in many containers, the device is root's only. The fallback is tested all the same.
                os.mknod(base / "fuse", stat.S_IFCHR | 0o600, FUSE.stat().st_rdev)
                (base / "fuse").chmod(0o666)
        yield base


def in_namespace(work: Callable[[], None]) -> int:
    """Do `work` as an ordinary user in namespaces of its own; returns 0 when it did not raise."""
    pid = os.fork()
    if pid == 0:
        try:
            if os.geteuid() == 0:
                os.setresgid(ORDINARY, ORDINARY, ORDINARY)
                os.setresuid(ORDINARY, ORDINARY, ORDINARY)
                kernel.prctl(kernel.PR_SET_DUMPABLE, 1)  # as after an exec: /proc/self is the user's own again
            identity.enter_user_namespace(identity.of(1))
            kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWPID)
            inner = os.fork()
            if inner == 0:
                work()
                os._exit(0)
            os._exit(os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1]))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


WAYS = [
    pytest.param(overlay._by_context, marks=pytest.mark.skipif(KERNEL < (6, 5), reason="needs Linux 6.5")),
    overlay._by_option_string,
    pytest.param(overlay._by_fuse, marks=pytest.mark.skipif(not HAS_FUSE, reason="needs fuse-overlayfs")),
]


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_composing_shows_the_same_tree(layers: Path, way: Callable[..., None]) -> None:
    def work() -> None:
        if (layers / "fuse").exists():
            kernel.mount(str(layers / "fuse"), str(FUSE), "", kernel.MS_BIND)
        os.chdir(layers)
        way(["0", "1"], "w/upper", "w/work", str(layers / "merged"))
        assert (layers / "merged/file").read_text() == "upper one"
        assert (layers / "merged/other").read_text() == "other"
        (layers / "merged/file").write_text("mine")

    assert in_namespace(work) == 0
    assert (layers / "w/upper/file").read_text() == "mine"
    assert (layers / "0/file").read_text() == "upper one"


def test_a_kernel_without_the_new_calls_composes_the_old_way(layers: Path) -> None:
    def work() -> None:
        def unknown(*_: object, **__: object) -> int:
            raise OSError(38, "Function not implemented")

        kernel.make_filesystem = unknown
        os.chdir(layers)
        how = overlay.compose(lowers=["0", "1"], upper="w/upper", work="w/work", target=str(layers / "merged"))
        assert how == "mount"

    assert in_namespace(work) == 0


def test_refusals_of_every_way_are_told(layers: Path) -> None:
    def work() -> None:
        os.chdir(layers)
        with pytest.raises(overlay.MountFailed, match="No such file or directory"):
            overlay.compose(lowers=["gone"], upper="w/upper", work="w/work", target=str(layers / "merged"))

    assert in_namespace(work) == 0


def test_the_filter_fits_its_jumps_and_the_kernel() -> None:
    code = seccomp.assemble()
    assert len(code) % 8 == 0
    assert len(code) // 8 < 256

    def work() -> None:
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        assert seccomp.install() == (os.uname().machine == "x86_64")

    assert in_namespace(work) == 0


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the filter is for x86")
def test_the_filter_lets_sockets_of_the_usual_families_pass_and_no_others() -> None:
    """Not those that reach the hypervisor or the inside of the kernel (AF_VSOCK, AF_ALG)."""

    def work() -> None:
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        seccomp.install()
        for family in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6):
            socket.socket(family, socket.SOCK_STREAM).close()
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close()
        # Otherwise the kernel answers ESOCKTNOSUPPORT or opens it.
        for family in (socket.AF_VSOCK, socket.AF_ALG, socket.AF_PACKET):
            with pytest.raises(OSError) as refused:
                socket.socket(family, 100)
            assert refused.value.errno == errno.EAFNOSUPPORT, family
        clone = os.fork()
        if clone == 0:
            os._exit(0)
        os.waitpid(clone, 0)

    assert in_namespace(work) == 0


def test_limits_go_into_a_cgroup_that_was_handed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cgroup.VARIABLE, str(tmp_path))
    assert cgroup.place(4711, server_id=7, limits=Limits(memory=1000, tasks=20, cpu_weight=50))
    own = tmp_path / "left4me-7"
    told = {path.name: path.read_text() for path in own.iterdir()}
    assert told == {"memory.max": "1000", "pids.max": "20", "cpu.weight": "50", "cgroup.procs": "4711"}


def test_without_a_cgroup_the_limits_per_process_stand_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cgroup.VARIABLE, raising=False)
    assert not cgroup.place(os.getpid(), server_id=7, limits=Limits())
