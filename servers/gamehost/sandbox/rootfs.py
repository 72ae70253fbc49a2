"""The file system that a game sees: its tree, the system read-only, and nothing else of left4me."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from left4me.core.files import atomic, walk
from servers.gamehost.port import MountFailed
from servers.gamehost.sandbox import kernel, overlay
from servers.gamehost.sandbox.identity import Identity
from servers.gamehost.spec import GAME_PATH, REMOVALS_PATH, REPLACEABLE_PATH, InstanceSpec

_READ_ONLY: Final = kernel.ATTR_RDONLY | kernel.ATTR_NOSUID | kernel.ATTR_NODEV
_SYSTEM_DIRECTORIES: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_DEVICES: Final = ("null", "zero", "full", "random", "urandom")
_FROM_ETC: Final = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "ssl", "ca-certificates", "alternatives")
_FROM_PROC: Final = ("cpuinfo", "meminfo", "stat", "uptime", "version", "loadavg", "filesystems")
_STAGE: Final = ".stage"
_OLD_ROOT: Final = ".old"
_SHARED_MEMORY_BYTES: Final = 64 * 1024**2


def enter(spec: InstanceSpec, *, who: Identity, shift: int | None, root: Path, writable: Path) -> str:
    """Build the root on the directory `root`, make it this process's `/`; returns how the tree was composed.

    The caller is process 1 of fresh mount and process namespaces and may mount in them. `writable` holds the
    server's `upper` and `work`; `shift` is the user namespace through which layers are shown. Raises MountFailed.
    """
    # The game's user has to pass through these directories, whatever the application's own umask.
    os.umask(0o022)
    kernel.mount("", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", str(root), "tmpfs", kernel.MS_NOSUID, "mode=0755,size=16m")
    _bind_system(root)
    _make_etc(root / "etc", who=who, name=_host_name(spec))
    _make_devices(root / "dev")
    _mount_proc(root / "proc")
    _mount_temporary(root, size=spec.limits.temporary)
    how = _mount_tree(spec, shift=shift, root=root, writable=writable)
    for bind in spec.binds:
        _bind_given(Path(bind.source), root / bind.target.lstrip("/"), shift=shift)
    if spec.replaceable:
        _bind_given(writable / "replaceable", root / REPLACEABLE_PATH.lstrip("/"), shift=shift)
    _bind_given(writable / "removals", root / REMOVALS_PATH.lstrip("/"), shift=shift)
    _change_root(root)
    return how


def write_generated(texts: Mapping[str, str], *, replaceable: Iterable[str]) -> None:
    """Write the generated files and the links to the replaceable ones into the tree.

    What the server has of its own in their places is replaced. Called inside the sandbox as the game's own user:
    whatever links the game left in its tree lead nowhere else.
    """
    tree = Path(GAME_PATH)
    for name, text in texts.items():
        path = tree / name
        _make_room(tree, path)
        atomic.write(path, text, mode=0o600, durable=False)
    for name in replaceable:
        path = tree / name
        _make_room(tree, path)
        atomic.link(path, f"{REPLACEABLE_PATH}/{name}", durable=False)


def _make_room(tree: Path, path: Path) -> None:
    """Make the directories above `path` below `tree`, and remove what is in the way of them or of a file there."""
    for part in [above for above in reversed(path.parents) if above == tree or tree in above.parents]:
        if not part.is_dir():
            part.unlink(missing_ok=True)  # a file, or a link that leads nowhere
            part.mkdir()
        if not os.access(part, os.W_OK | os.X_OK):
            part.chmod(0o755)
    if path.is_dir() and not path.is_symlink():
        try:
            with walk.folder(path.parent, ()) as handle:
                walk.delete(path.name, at=handle)
        except OSError:
            # It holds what cannot be deleted, such as a folder without permissions.
            atomic.publish(path, path.with_name(f"{path.name}.{time.time_ns()}"), durable=False)


def _host_name(spec: InstanceSpec) -> str:
    return f"server-{spec.server_id}"


def _bind_given(source: Path, target: Path, *, shift: int | None) -> None:
    if not source.exists():
        raise MountFailed(f"{source} does not exist")
    try:
        _bind(source, target, shift=shift)
    except OSError:
        # Without an id-mapped mount the game reads what everybody may read, which is the rule for these.
        _bind(source, target)


def _bind(source: Path, target: Path, *, attributes: int = _READ_ONLY, shift: int | None = None) -> None:
    fd = kernel.clone_mount(str(source), attributes=attributes, recursive=shift is None, userns_fd=shift)
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    kernel.attach_mount(fd, str(target))


def _bind_system(root: Path) -> None:
    _bind(Path("/usr"), root / "usr")
    for name in _SYSTEM_DIRECTORIES:
        source = Path("/", name)
        if source.is_symlink():
            (root / name).symlink_to(source.readlink())
        elif source.is_dir():
            _bind(source, root / name)


def _make_etc(etc: Path, *, who: Identity, name: str) -> None:
    etc.mkdir()
    with contextlib.suppress(OSError):
        (etc / "resolv.conf").write_bytes(Path("/etc/resolv.conf").read_bytes())
    (etc / "passwd").write_text(f"game:x:{who.uid}:{who.gid}::{GAME_PATH}:/usr/sbin/nologin\n")
    (etc / "group").write_text(f"game:x:{who.gid}:\n")
    with contextlib.suppress(OSError):
        kernel.set_host_name(name)  # a hardened unit may refuse it, and keeps the machine's name
    called = os.uname().nodename
    (etc / "hostname").write_text(f"{called}\n")
    names = " ".join(dict.fromkeys(("localhost", name, called)))
    (etc / "hosts").write_text(f"127.0.0.1 {names}\n::1 localhost\n")
    (etc / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    for shared in _FROM_ETC:
        source = Path("/etc", shared)
        if source.exists():
            _bind(source.resolve(), etc / shared)


def _make_devices(dev: Path) -> None:
    dev.mkdir()
    for name in _DEVICES:
        _bind(Path("/dev", name), dev / name, attributes=kernel.ATTR_NOSUID)
    for link, target in (("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        (dev / link).symlink_to(f"/proc/self/{target}")


def _mount_proc(proc: Path) -> None:
    proc.mkdir()
    try:
        kernel.mount("proc", str(proc), "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    except PermissionError:
        # A container that hides parts of /proc may not mount one of its own. The machine's figures are enough
        # for the game; the machine's processes must not show.
        for name in _FROM_PROC:
            _bind(Path("/proc", name), proc / name)


def _mount_temporary(root: Path, *, size: int) -> None:
    flags = kernel.MS_NOSUID | kernel.MS_NODEV
    for name, limit in (("tmp", size), ("dev/shm", _SHARED_MEMORY_BYTES)):
        (root / name).mkdir()
        kernel.mount("tmpfs", str(root / name), "tmpfs", flags, f"mode=1777,size={limit}")
    (root / "var").mkdir()
    # Relative: until the root is changed, what is made below an absolute one would be made on the host.
    (root / "var/tmp").symlink_to("../tmp")
    (root / "run").mkdir()


def _mount_tree(spec: InstanceSpec, *, shift: int | None, root: Path, writable: Path) -> str:
    stage = root / _STAGE
    tree = root / GAME_PATH.lstrip("/")
    stage.mkdir()
    tree.mkdir()
    # Every layer gets a short name in a tmpfs, so the names of the host's directories neither count against the
    # option string nor need escaping, and need not be reachable for the game's user.
    kernel.mount("tmpfs", str(stage), "tmpfs", kernel.MS_NOSUID, "mode=0700,size=4m")
    lowers = []
    for number, layer in enumerate(spec.layers):
        target = stage / str(number)
        _stage(Path(layer), target, attributes=_READ_ONLY, shift=shift)
        lowers.append(str(target))
    _stage(writable, stage / "w", attributes=kernel.ATTR_NOSUID | kernel.ATTR_NODEV, shift=None)
    how = _compose_from(stage, count=len(lowers), tree=tree)
    kernel.unmount(str(stage))  # the composed tree holds its layers itself
    return how


def _compose_from(stage: Path, *, count: int, tree: Path) -> str:
    here = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.chdir(stage)
        return overlay.compose(
            lowers=[str(number) for number in range(count)], upper="w/upper", work="w/work", target=str(tree)
        )
    finally:
        os.fchdir(here)
        os.close(here)


def _stage(source: Path, target: Path, *, attributes: int, shift: int | None) -> None:
    try:
        fd = kernel.clone_mount(str(source), attributes=attributes, recursive=False, userns_fd=shift)
    except FileNotFoundError:
        raise MountFailed(f"the overlay directory {source} does not exist") from None
    except OSError as error:
        cure = "" if shift is None else "; without id-mapped mounts, left4me must run as an unprivileged user"
        raise MountFailed(f"the overlay directory {source} cannot be used: {error.strerror}{cure}") from error
    target.mkdir()
    try:
        kernel.attach_mount(fd, str(target))
    except NotADirectoryError:
        raise MountFailed(f"the overlay path {source} is not a directory") from None


def _change_root(root: Path) -> None:
    old = root / _OLD_ROOT
    old.mkdir()
    kernel.pivot_root(str(root), str(old))
    os.chdir("/")
    kernel.unmount(f"/{_OLD_ROOT}")
    Path("/", _OLD_ROOT).rmdir()
    Path("/", _STAGE).rmdir()
    flags = kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | kernel.MS_NOSUID
    kernel.mount("", "/", "", flags)
