"""Mounts a server's tree, its layers below its writable directory, by the best method of this kernel."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from left4me.core.processes import procfs
from servers.gamehost.port import MountFailed
from servers.gamehost.sandbox import kernel

_FUSE_PATHS = ("/usr/bin/fuse-overlayfs", "/usr/local/bin/fuse-overlayfs")
# An old kernel, or one without overlayfs or without it for users. Other errors would fail with any method.
_TRY_ANOTHER_WAY = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM, errno.ENODEV)


def compose(*, lowers: Sequence[str], upper: str, work: str, target: str) -> str:
    """Mount the layers (topmost first) on `target`; returns the method used: `fsconfig`, `mount` or `fuse`.

    `userxattr` keeps the writable layer in one format whether root or a user mounts it. Paths must hold neither
    `:` nor `,`: the caller stages every layer under a short name, so that even the one-page option string of
    an old kernel takes all of them. Raises MountFailed with what each way answered.
    """
    refusals: list[str] = []
    ways = (("fsconfig", _by_context), ("mount", _by_option_string), ("fuse", _by_fuse))
    for name, way in ways:
        try:
            way(lowers, upper, work, target)
        except OSError as error:
            refusals.append(f"{name}: {error.strerror or error}")
            if name == "fsconfig" and error.errno not in _TRY_ANOTHER_WAY:
                break
        else:
            return name
    raise MountFailed("the overlays could not be combined: " + "; ".join(refusals))


def _by_context(lowers: Sequence[str], upper: str, work: str, target: str) -> None:
    options: list[tuple[str, str | None]] = [("lowerdir+", lower) for lower in lowers]
    options += [("upperdir", upper), ("workdir", work), ("userxattr", None)]
    fd = kernel.make_filesystem("overlay", options, attributes=kernel.ATTR_NOSUID | kernel.ATTR_NODEV)
    kernel.attach_mount(fd, target)


def _by_option_string(lowers: Sequence[str], upper: str, work: str, target: str) -> None:
    data = f"lowerdir={':'.join(lowers)},upperdir={upper},workdir={work},userxattr"
    kernel.mount("overlay", target, "overlay", kernel.MS_NOSUID | kernel.MS_NODEV, data)


def _by_fuse(lowers: Sequence[str], upper: str, work: str, target: str) -> None:
    """The daemon goes to the background once the mount is complete, and ends with the namespace."""
    program = next((path for path in _FUSE_PATHS if os.access(path, os.X_OK)), None)
    if program is None:
        raise OSError(errno.ENOENT, "fuse-overlayfs is not installed")
    options = f"lowerdir={':'.join(lowers)},upperdir={upper},workdir={work}"
    if os.geteuid() == 0:
        options += ",allow_other"  # root mounts, the game's own user reads
    pid = os.fork()
    if pid == 0:
        try:
            if os.geteuid() != 0:
                kernel.keep_capabilities_over_exec()
            os.execve(program, [program, "-o", options, target], {"PATH": "/usr/bin:/bin"})  # noqa: S606 -- a list
        finally:
            os._exit(127)
    _, status = os.waitpid(pid, 0)
    if status != 0:
        raise OSError(errno.EIO, f"fuse-overlayfs exited with status {os.waitstatus_to_exitcode(status)}")


def game_of(init: int) -> int | None:
    """The pid of the game below process 1 of a sandbox; the daemon of the fallback mount may be its sibling."""
    return next((child for child in procfs.children(init) if procfs.name(child) != "fuse-overlayfs"), None)
