"""Which system calls the filter refuses, found by running its program as the kernel does."""

from __future__ import annotations

import errno
import os
import struct

import pytest

from servers.gamehost.sandbox import kernel, seccomp

WIDE, NARROW = 0xC000_003E, 0x4000_0003  # AUDIT_ARCH_X86_64, AUDIT_ARCH_I386
ALLOWED, HANDED_OVER = 0x7FFF_0000, 0x7FC0_0000
REFUSED, NO_FAMILY, UNKNOWN = (0x0005_0000 | code for code in (errno.EPERM, errno.EAFNOSUPPORT, errno.ENOSYS))

# As the kernel's tables of x86 list them: the number for 64-bit programs, and for 32-bit ones.
CALLS = {
    "chroot": (161, 61),
    "mount": (165, 21),
    "umount": (None, 22),
    "umount2": (166, 52),
    "pivot_root": (155, 217),
    "unshare": (272, 310),
    "setns": (308, 346),
    "acct": (163, 51),
    "swapon": (167, 87),
    "swapoff": (168, 115),
    "reboot": (169, 88),
    "quotactl": (179, 131),
    "syslog": (103, 103),
    "iopl": (172, 110),
    "ioperm": (173, 101),
    "init_module": (175, 128),
    "delete_module": (176, 129),
    "finit_module": (313, 350),
    "kexec_load": (246, 283),
    "kexec_file_load": (320, None),
    "add_key": (248, 286),
    "request_key": (249, 287),
    "keyctl": (250, 288),
    "bpf": (321, 357),
    "perf_event_open": (298, 336),
    "userfaultfd": (323, 374),
    "open_by_handle_at": (304, 342),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
}
TRACING = {"ptrace": (101, 26), "process_vm_readv": (310, 347), "process_vm_writev": (311, 348)}
CLONE3 = 435
# The numbers from 0 on of both tables, and what follows.
NUMBERS = range(500)


def decide(code: bytes, architecture: int, number: int, argument: int = 0) -> int:
    """What the filter answers to this call, whose first argument is `argument`."""
    operations = list(struct.iter_unpack("=HBBI", code))
    data = struct.pack("=IIQ6Q", number, architecture, 0, argument, 0, 0, 0, 0, 0)
    loaded = at = 0
    while True:
        operation, if_true, if_false, value = operations[at]
        at += 1
        if operation == 0x06:
            return value
        if operation == 0x20:
            (loaded,) = struct.unpack_from("=I", data, value)
        else:
            holds = {0x15: loaded == value, 0x35: loaded >= value, 0x45: bool(loaded & value)}[operation]
            at += if_true if holds else if_false


def refused(code: bytes, architecture: int) -> set[int]:
    return {number for number in NUMBERS if decide(code, architecture, number) == REFUSED}


def numbers(calls: dict[str, tuple[int | None, int | None]], of: int) -> set[int]:
    return {pair[of] for pair in calls.values()} - {None}  # type: ignore[return-value]


@pytest.mark.parametrize("hands_over", [False, True])
@pytest.mark.parametrize("allow_ptrace", [False, True])
@pytest.mark.parametrize(("architecture", "of"), [(WIDE, 0), (NARROW, 1)])
def test_these_calls_are_refused_and_no_others(architecture: int, of: int, allow_ptrace: bool, hands_over: bool):
    code = seccomp.assemble(allow_ptrace=allow_ptrace, hands_over=hands_over)
    assert refused(code, architecture) == numbers(CALLS, of) | (set() if allow_ptrace else numbers(TRACING, of))
    others = {decide(code, architecture, number) for number in NUMBERS if number != CLONE3} - {REFUSED, NO_FAMILY}
    assert others == {ALLOWED}
    # Its flags lie in memory; the C library uses clone then.
    assert decide(code, architecture, CLONE3) == UNKNOWN


@pytest.mark.parametrize(("architecture", "clone"), [(WIDE, 56), (NARROW, 120)])
def test_clone_makes_processes_and_no_user_namespaces(architecture: int, clone: int):
    code = seccomp.assemble()
    assert decide(code, architecture, clone, 17) == ALLOWED
    assert decide(code, architecture, clone, kernel.CLONE_NEWUSER | 17) == REFUSED
    assert decide(code, architecture, clone + 1, kernel.CLONE_NEWUSER | 17) == ALLOWED


@pytest.mark.parametrize(("architecture", "socket"), [(WIDE, 41), (NARROW, 359)])
def test_sockets_are_of_the_usual_families(architecture: int, socket: int):
    code = seccomp.assemble()
    allowed = {family for family in range(50) if decide(code, architecture, socket, family) == ALLOWED}
    assert allowed == {1, 2, 10, 16}
    assert {decide(code, architecture, socket, family) for family in set(range(50)) - allowed} == {NO_FAMILY}


def test_the_old_call_for_sockets_is_handed_over_of_32_bit_programs_alone():
    code = seccomp.assemble(hands_over=True)
    assert decide(code, NARROW, 102, 1) == HANDED_OVER
    assert {decide(code, NARROW, 102, call) for call in (0, *range(2, 21))} == {ALLOWED}
    assert decide(code, WIDE, 102, 1) == ALLOWED, "getuid"
    assert decide(seccomp.assemble(), NARROW, 102, 1) == ALLOWED


def test_programs_of_other_kinds_make_no_calls():
    code = seccomp.assemble()
    assert {decide(code, WIDE, number | 0x4000_0000) for number in NUMBERS} == {UNKNOWN}, "x32"
    assert {decide(code, 0xC000_00B7, number) for number in NUMBERS} == {REFUSED}, "aarch64"


class Machine:
    def __init__(self, machine: str, release: str) -> None:
        self.machine, self.release = machine, release


@pytest.mark.parametrize(
    ("machine", "release", "listener"),
    [
        ("x86_64", "5.14.0-1-amd64", 7),
        ("x86_64", "6.1.0", 7),
        ("x86_64", "5.14-rc1+", 7),
        ("x86_64", "5.13.19", None),
        ("x86_64", "4.19.0", None),
        ("aarch64", "6.1.0", None),
    ],
)
def test_a_kernel_that_hands_calls_over_is_told_by_its_version(
    monkeypatch: pytest.MonkeyPatch, machine: str, release: str, listener: int | None
):
    installed: list[tuple[int, ...]] = []
    monkeypatch.setattr(os, "uname", lambda: Machine(machine, release))
    monkeypatch.setattr(kernel, "syscall", lambda *numbers, what: 7 if numbers[:3] == (317, 1, 8) else -1)
    monkeypatch.setattr(kernel, "prctl", lambda *numbers: installed.append(numbers[:2]))
    assert seccomp.install_with_listener() == listener
    assert installed == ([(22, 2)] if listener is None and machine == "x86_64" else [])


def test_below_a_filter_that_has_a_listener_the_filter_has_none(monkeypatch: pytest.MonkeyPatch):
    installed: list[tuple[int, ...]] = []

    def refuse(*_: object, what: str) -> int:
        raise OSError(errno.EBUSY, "busy")

    monkeypatch.setattr(os, "uname", lambda: Machine("x86_64", "6.1.0"))
    monkeypatch.setattr(kernel, "syscall", refuse)
    monkeypatch.setattr(kernel, "prctl", lambda *numbers: installed.append(numbers[:2]))
    assert seccomp.install_with_listener() is None
    assert installed == [(22, 2)]


@pytest.mark.parametrize(("code", "can"), [(errno.ESRCH, True), (errno.EPERM, False)])
def test_whether_a_filter_refuses_tracing_is_asked_of_the_kernel(
    monkeypatch: pytest.MonkeyPatch, code: int, can: bool
):
    asked: list[tuple[int, ...]] = []

    def answer(*numbers: int) -> int:
        asked.append(numbers)
        raise OSError(code, "no")

    monkeypatch.setattr(kernel, "syscall", answer)
    assert seccomp.can_trace() is can
    assert asked == [(101, 16, 0, 0, 0)]
