"""A system-call filter for the game: no new namespaces, mounts, keyrings, tracing of the kernel, modules.

It lists the refused calls, since plugins are native code that may use any ordinary one. x86 only, where srcds exists;
on other machines only namespaces and dropped capabilities protect. Tracing is refused unless the blueprint allows it
for a crash handler; the process namespace contains no foreign processes.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import itertools
import os
import struct
from collections.abc import Iterable
from typing import Final

from servers.gamehost.sandbox import kernel

_REFUSED_EVERYWHERE: Final = frozenset(
    (425, 426, 427, 428, 429, 430, 431, 432, 433, 442)  # io_uring and the mount calls since 5.1
)
_REFUSED_64: Final = _REFUSED_EVERYWHERE | frozenset(
    {
        "chroot": 161,
        "mount": 165,
        "umount2": 166,
        "pivot_root": 155,
        "unshare": 272,
        "setns": 308,
        "acct": 163,
        "swapon": 167,
        "swapoff": 168,
        "reboot": 169,
        "quotactl": 179,
        "syslog": 103,
        "iopl": 172,
        "ioperm": 173,
        "init_module": 175,
        "delete_module": 176,
        "finit_module": 313,
        "kexec_load": 246,
        "kexec_file_load": 320,
        "add_key": 248,
        "request_key": 249,
        "keyctl": 250,
        "bpf": 321,
        "perf_event_open": 298,
        "userfaultfd": 323,
        "open_by_handle_at": 304,
    }.values()
)
_REFUSED_32: Final = _REFUSED_EVERYWHERE | frozenset(
    {
        "chroot": 61,
        "mount": 21,
        "umount": 22,
        "umount2": 52,
        "pivot_root": 217,
        "unshare": 310,
        "setns": 346,
        "acct": 51,
        "swapon": 87,
        "swapoff": 115,
        "reboot": 88,
        "quotactl": 131,
        "syslog": 103,
        "iopl": 110,
        "ioperm": 101,
        "init_module": 128,
        "delete_module": 129,
        "finit_module": 350,
        "kexec_load": 283,
        "add_key": 286,
        "request_key": 287,
        "keyctl": 288,
        "bpf": 357,
        "perf_event_open": 336,
        "userfaultfd": 374,
        "open_by_handle_at": 342,
    }.values()
)
# ptrace, process_vm_readv, process_vm_writev
_TRACING_64: Final = frozenset((101, 310, 311))
_TRACING_32: Final = frozenset((26, 347, 348))
_PTRACE: Final = 101
_PTRACE_ATTACH: Final = 16
# The call that makes a socket, whose first argument is the address family. 32-bit programs make sockets with
# `socketcall` too, which process 1 of the sandbox answers (`socketcall.py`).
_SOCKET_64: Final = 41
_SOCKET_32: Final = 359
# Unix, IPv4, IPv6, and netlink, by which libraries list the network's addresses.
FAMILIES: Final = (1, 2, 10, 16)
_SOCKETCALL_32: Final = 102
_SOCKETCALL_OF_SOCKET: Final = 1
_CLONE_64: Final = 56
_CLONE_32: Final = 120
_CLONE3: Final = 435  # its flags lie in memory, which a filter cannot read; glibc falls back to clone

_ARCH_64: Final = 0xC000_003E
_ARCH_32: Final = 0x4000_0003
_X32_BIT: Final = 0x4000_0000

_LOAD: Final = 0x20
_JUMP_EQUAL: Final = 0x15
_JUMP_AT_LEAST: Final = 0x35
_JUMP_ANY_BIT: Final = 0x45
_RETURN: Final = 0x06

_ALLOW: Final = 0x7FFF_0000
_HAND_OVER: Final = 0x7FC0_0000
_REFUSE: Final = 0x0005_0000 | errno.EPERM
_NO_FAMILY: Final = 0x0005_0000 | errno.EAFNOSUPPORT
_UNKNOWN: Final = 0x0005_0000 | errno.ENOSYS

_NUMBER_AT: Final = 0
_ARCH_AT: Final = 4
_FIRST_ARGUMENT_AT: Final = 16

_PR_SET_SECCOMP: Final = 22
_SECCOMP_MODE_FILTER: Final = 2
_SECCOMP: Final = 317
_SECCOMP_SET_MODE_FILTER: Final = 1
_FLAG_NEW_LISTENER: Final = 8


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]


def install(*, allow_ptrace: bool = False) -> bool:
    """Install the filter for this process and all its children; False where it does not exist for the machine.

    Needs `no_new_privs`. Raises OSError where the kernel has no filters.
    """
    if os.uname().machine != "x86_64":
        return False
    program = _program(allow_ptrace=allow_ptrace, hands_over=False)
    kernel.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(program))
    return True


def install_with_listener(*, allow_ptrace: bool = False) -> int | None:
    """Install the filter as `install` does. Returns the descriptor at which it hands `socketcall` over.

    None where nobody can answer: on other machines, before Linux 5.14, and below a filter that has a listener.
    """
    if os.uname().machine == "x86_64" and _kernel_version() >= (5, 14):
        program = _program(allow_ptrace=allow_ptrace, hands_over=True)
        with contextlib.suppress(OSError):
            return kernel.syscall(
                _SECCOMP, _SECCOMP_SET_MODE_FILTER, _FLAG_NEW_LISTENER, ctypes.addressof(program), what="seccomp"
            )
    install(allow_ptrace=allow_ptrace)
    return None


def _kernel_version() -> tuple[int, int]:
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int("".join(itertools.takewhile(str.isdigit, minor)) or 0)


def _program(*, allow_ptrace: bool, hands_over: bool) -> _Program:
    code = assemble(allow_ptrace=allow_ptrace, hands_over=hands_over)
    return _Program(len(code) // 8, code)


def can_trace() -> bool:
    """Whether the filters of this process, also one of its unit, let ptrace through."""
    try:
        kernel.syscall(_PTRACE, _PTRACE_ATTACH, 0, 0, 0)
    except OSError as error:
        # No process has the number 0: what answers this is the kernel's ptrace and no filter.
        return error.errno == errno.ESRCH
    return True


def assemble(*, allow_ptrace: bool = False, hands_over: bool = False) -> bytes:
    """The filter as BPF: one block per architecture, since 32-bit srcds and 64-bit tools may both run."""
    traced_64, traced_32 = (frozenset[int](), frozenset[int]()) if allow_ptrace else (_TRACING_64, _TRACING_32)
    wide = _block(_REFUSED_64 | traced_64, clone=_CLONE_64, socket=_SOCKET_64, check_x32=True)
    narrow = _block(_REFUSED_32 | traced_32, clone=_CLONE_32, socket=_SOCKET_32, check_x32=False)
    if hands_over:
        narrow = _handing_socketcall_over() + narrow
    # A jump reaches 255 instructions, and the 64-bit block is shorter.
    head = [
        _op(_LOAD, _ARCH_AT),
        _op(_JUMP_EQUAL, _ARCH_64, 0, len(wide)),
        *wide,
        _op(_JUMP_EQUAL, _ARCH_32, 0, len(narrow)),
        *narrow,
        _op(_RETURN, _REFUSE),
    ]
    return b"".join(head)


def _handing_socketcall_over() -> list[bytes]:
    return [
        _op(_LOAD, _NUMBER_AT),
        _op(_JUMP_EQUAL, _SOCKETCALL_32, 0, 4),
        _op(_LOAD, _FIRST_ARGUMENT_AT),
        _op(_JUMP_EQUAL, _SOCKETCALL_OF_SOCKET, 0, 1),
        _op(_RETURN, _HAND_OVER),
        _op(_RETURN, _ALLOW),
    ]


def _block(refused: Iterable[int], *, clone: int, socket: int, check_x32: bool) -> list[bytes]:
    code = [_op(_LOAD, _NUMBER_AT)]
    if check_x32:
        code += [_op(_JUMP_AT_LEAST, _X32_BIT, 0, 1), _op(_RETURN, _UNKNOWN)]
    code += [_op(_JUMP_EQUAL, _CLONE3, 0, 1), _op(_RETURN, _UNKNOWN)]
    for number in sorted(refused):
        code += [_op(_JUMP_EQUAL, number, 0, 1), _op(_RETURN, _REFUSE)]
    families = [_op(_JUMP_EQUAL, family, len(FAMILIES) - at, 0) for at, family in enumerate(FAMILIES)]
    code += [
        _op(_JUMP_EQUAL, socket, 0, len(families) + 3),
        _op(_LOAD, _FIRST_ARGUMENT_AT),
        *families,
        _op(_RETURN, _NO_FAMILY),
        _op(_RETURN, _ALLOW),
        _op(_JUMP_EQUAL, clone, 0, 3),
        _op(_LOAD, _FIRST_ARGUMENT_AT),
        _op(_JUMP_ANY_BIT, kernel.CLONE_NEWUSER, 0, 1),
        _op(_RETURN, _REFUSE),
        _op(_RETURN, _ALLOW),
    ]
    return code


def _op(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
