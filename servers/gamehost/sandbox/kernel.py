"""The system calls that Python 3.11 does not provide. Each raises OSError with the kernel's message.

It uses ctypes only, since a plain python3 runs this beside every game.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from typing import Final

CLONE_NEWNS: Final = 0x0002_0000
CLONE_NEWUTS: Final = 0x0400_0000
CLONE_NEWIPC: Final = 0x0800_0000
CLONE_NEWUSER: Final = 0x1000_0000
CLONE_NEWPID: Final = 0x2000_0000

MS_RDONLY: Final = 1
MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_NOEXEC: Final = 8
MS_REMOUNT: Final = 32
MS_BIND: Final = 4096
MS_REC: Final = 16384
MS_PRIVATE: Final = 1 << 18
MNT_DETACH: Final = 2

ATTR_RDONLY: Final = 1
ATTR_NOSUID: Final = 2
ATTR_NODEV: Final = 4
_ATTR_IDMAP: Final = 0x0010_0000

PR_SET_PDEATHSIG: Final = 1
PR_SET_DUMPABLE: Final = 4
PR_CAPBSET_DROP: Final = 24
PR_SET_CHILD_SUBREAPER: Final = 36
PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_RAISE: Final = 2

_AT_FDCWD: Final = -100
_AT_EMPTY_PATH: Final = 0x1000
_AT_RECURSIVE: Final = 0x8000
_OPEN_TREE_CLONE: Final = 1
_MOVE_MOUNT_F_EMPTY_PATH: Final = 4

_FSCONFIG_SET_FLAG: Final = 0
_FSCONFIG_SET_STRING: Final = 1
_FSCONFIG_CMD_CREATE: Final = 6

# Numbers from 424 on are the same on every architecture.
_OPEN_TREE: Final = 428
_MOVE_MOUNT: Final = 429
_FSOPEN: Final = 430
_FSCONFIG: Final = 431
_FSMOUNT: Final = 432
_MOUNT_SETATTR: Final = 442
_PIVOT_ROOT: Final = {"x86_64": 155, "aarch64": 41}

_CAPABILITY_VERSION_3: Final = 0x2008_0522
_HIGHEST_CAPABILITY: Final = 63

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

Argument = bytes | int | None | ctypes.Array[ctypes.c_char] | ctypes.Structure


class _MountAttributes(ctypes.Structure):
    _fields_ = [
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    ]


def syscall(number: int, *arguments: Argument, what: str = "") -> int:
    """Make a system call by number. Integers are passed as long, so that none is cut to 32 bits."""
    ready = [ctypes.c_long(a) if isinstance(a, int) else _pointer(a) for a in arguments]
    result: int = _libc.syscall(ctypes.c_long(number), *ready)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code) + (f" ({what})" if what else ""))
    return result


def unshare(flags: int) -> None:
    _checked(_libc.unshare(ctypes.c_int(flags)), "unshare")


def mount(source: str, target: str, kind: str, flags: int = 0, data: str = "") -> None:
    result = _libc.mount(os.fsencode(source), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), data.encode())
    _checked(result, f"mount {kind or source} on {target}")


def unmount(target: str) -> None:
    """Detach the mount now; it disappears as soon as nothing uses it."""
    _checked(_libc.umount2(os.fsencode(target), ctypes.c_int(MNT_DETACH)), f"unmount {target}")


def pivot_root(new: str, old: str) -> None:
    syscall(_PIVOT_ROOT[os.uname().machine], os.fsencode(new), os.fsencode(old), what="pivot_root")


def clone_mount(path: str, *, attributes: int, recursive: bool, userns_fd: int | None = None) -> int:
    """A detached copy of the mount at `path` with `attributes`, for `attach_mount`.

    With `userns_fd` owners are shown through that user namespace's map (an id-mapped mount).
    """
    depth = _AT_RECURSIVE if recursive else 0
    how = _OPEN_TREE_CLONE | os.O_CLOEXEC | depth
    fd = syscall(_OPEN_TREE, _AT_FDCWD, os.fsencode(path), how, what=f"open_tree {path}")
    wanted = _MountAttributes(set=attributes)
    if userns_fd is not None:
        wanted.set |= _ATTR_IDMAP
        wanted.userns_fd = userns_fd
    try:
        size = ctypes.sizeof(wanted)
        syscall(_MOUNT_SETATTR, fd, b"", _AT_EMPTY_PATH | depth, wanted, size, what=f"mount_setattr {path}")
    except OSError:
        os.close(fd)
        raise
    return fd


def attach_mount(fd: int, target: str) -> None:
    """Put a detached mount on `target` and close `fd`."""
    try:
        place = os.fsencode(target)
        syscall(_MOVE_MOUNT, fd, b"", _AT_FDCWD, place, _MOVE_MOUNT_F_EMPTY_PATH, what=f"move_mount {target}")
    finally:
        os.close(fd)


def make_filesystem(kind: str, options: list[tuple[str, str | None]], *, attributes: int) -> int:
    """A detached mount of a new file system, configured option by option: no page-sized limit on all of them.

    The OSError carries the kernel's own words where it has some.
    """
    context = syscall(_FSOPEN, kind.encode(), 1)
    try:
        for key, value in options:
            if value is None:
                syscall(_FSCONFIG, context, _FSCONFIG_SET_FLAG, key.encode(), None, 0)
            else:
                syscall(_FSCONFIG, context, _FSCONFIG_SET_STRING, key.encode(), os.fsencode(value), 0)
        syscall(_FSCONFIG, context, _FSCONFIG_CMD_CREATE, None, None, 0)
        return syscall(_FSMOUNT, context, 1, attributes)
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}{_kernel_words(context)}") from error
    finally:
        os.close(context)


def set_host_name(name: str) -> None:
    _checked(_libc.sethostname(name.encode(), len(name)), "sethostname")


def prctl(option: int, value: int = 0, third: int = 0) -> None:
    arguments = (ctypes.c_ulong(value), ctypes.c_ulong(third), ctypes.c_ulong(0), ctypes.c_ulong(0))
    _checked(_libc.prctl(option, *arguments), f"prctl {option}")


def empty_bounding_set() -> None:
    """Make sure that no exec can bring a capability back."""
    for capability in range(_HIGHEST_CAPABILITY + 1):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError as error:
            if error.errno == errno.EINVAL:
                break  # past the last one that the kernel knows
            raise


def keep_capabilities_over_exec() -> None:
    """Let the next program have what this process may do in its user namespace, although nobody is root there."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    held = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice 32 bits
    _checked(_libc.capget(header, held), "capget")
    held[2], held[5] = held[1], held[4]
    _checked(_libc.capset(header, held), "capset")
    for capability in range(_HIGHEST_CAPABILITY + 1):
        with contextlib.suppress(OSError):
            prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability)


def drop_capabilities() -> None:
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    _checked(_libc.capset(header, (ctypes.c_uint32 * 6)()), "capset")


def _pointer(argument: Argument) -> object:
    if argument is None:
        return ctypes.c_void_p(None)
    return ctypes.c_char_p(argument) if isinstance(argument, bytes) else ctypes.byref(argument)  # type: ignore[arg-type]


def _checked(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{os.strerror(code)} ({what})")


def _kernel_words(context: int) -> str:
    words: list[str] = []
    try:
        while line := os.read(context, 1000):
            words.append(line.decode("utf-8", "replace").strip().removeprefix("e "))
    except OSError:
        pass  # ENODATA: there are no more messages
    return f" ({'; '.join(words)})" if words else ""
