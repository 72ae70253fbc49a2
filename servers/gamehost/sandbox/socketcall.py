"""Answers the old call `socketcall` of 32-bit programs, by which their C library opens every socket.

Its arguments lie in memory, where no filter can read them, and where the caller could exchange them after a check. So
the filter hands the call to process 1 of the sandbox, which reads the arguments once, opens the socket itself if its
family is a usual one, and gives it to the game. Standard library only; `socket` would cost a megabyte more.
"""

from __future__ import annotations

import _socket
import _thread
import array
import ctypes
import errno
import fcntl
import os
import struct
from typing import Final

from servers.gamehost.sandbox import seccomp

_RECEIVE: Final = 0xC050_2100
_SEND: Final = 0xC018_2101
_STILL_VALID: Final = 0x4008_2102
_ADD_DESCRIPTOR: Final = 0x4018_2103
# id, pid, flags; then the call: its number, architecture, instruction pointer and six arguments.
_CALL: Final = struct.Struct("=QIIiIQ6Q")
_ANSWER: Final = struct.Struct("=QqiI")
_DESCRIPTOR: Final = struct.Struct("=QIIII")
_ADD_AND_ANSWER: Final = 2
_CONTINUE: Final = 1
# Family, type and protocol as 32-bit numbers.
_ARGUMENTS: Final = struct.Struct("=iii")
_CLOSE_ON_EXEC: Final = 0o2000000

_libc = ctypes.CDLL(None, use_errno=True)


class _Piece(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class Line:
    """The line by which the game hands the filter's calls to process 1. Made before the fork."""

    def __init__(self) -> None:
        self._ours, self._games = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)

    @property
    def descriptor(self) -> int:
        """Of the game's end, which its exec closes."""
        return self._games.fileno()

    def hand_over(self, listener: int | None) -> None:
        """In the game's process, after the filter is installed; None where the kernel cannot hand calls over."""
        if listener is not None:
            rights = array.array("i", [listener])
            self._games.sendmsg([b"l"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)])
            os.close(listener)
        self._games.close()

    def serve(self) -> None:
        """In process 1: answer calls in a thread of their own for as long as the game lives."""
        self._games.close()
        _thread.start_new_thread(self._serve, ())

    def _serve(self) -> None:
        _data, rights, _flags, _address = self._ours.recvmsg(1, _socket.CMSG_SPACE(4))
        self._ours.close()
        for _level, _type, packed in rights:
            (listener,) = array.array("i", packed[:4])
            while True:
                try:
                    _answer_next(listener)
                except OSError as error:
                    # The caller ended in the meantime, or a signal interrupted it.
                    if error.errno not in (errno.ENOENT, errno.EINTR):
                        return


def _answer_next(listener: int) -> None:
    call = bytearray(_CALL.size)
    fcntl.ioctl(listener, _RECEIVE, call, True)
    identity, pid, _flags, _number, _arch, _at, _which, arguments, *_rest = _CALL.unpack(call)
    try:
        family, kind, protocol = _ARGUMENTS.unpack(_memory(pid, arguments & 0xFFFF_FFFF, _ARGUMENTS.size))
        # Otherwise this was the memory of another process that got the number.
        fcntl.ioctl(listener, _STILL_VALID, struct.pack("=Q", identity))
    except OSError as error:
        # Where nobody may read the game's memory, the kernel decides as it did before this filter.
        refused = error.errno in (errno.EPERM, errno.ENOSYS)
        _answer(listener, identity, 0 if refused else -errno.EFAULT, _CONTINUE if refused else 0)
        return
    if family not in seccomp.FAMILIES:
        _answer(listener, identity, -errno.EAFNOSUPPORT)
        return
    made: int = _libc.socket(family, kind | _CLOSE_ON_EXEC, protocol)
    if made < 0:
        _answer(listener, identity, -ctypes.get_errno())
        return
    try:
        added = _DESCRIPTOR.pack(identity, _ADD_AND_ANSWER, made, 0, kind & _CLOSE_ON_EXEC)
        fcntl.ioctl(listener, _ADD_DESCRIPTOR, added)
    except OSError as error:
        _answer(listener, identity, -(error.errno or errno.EMFILE))
    finally:
        os.close(made)


def _answer(listener: int, identity: int, error: int, flags: int = 0) -> None:
    fcntl.ioctl(listener, _SEND, bytearray(_ANSWER.pack(identity, 0, error, flags)), True)


def _memory(pid: int, address: int, length: int) -> bytes:
    here = ctypes.create_string_buffer(length)
    ours = _Piece(ctypes.addressof(here), length)
    theirs = _Piece(address, length)
    read = _libc.process_vm_readv(pid, ctypes.byref(ours), 1, ctypes.byref(theirs), 1, 0)
    if read != length:
        code = ctypes.get_errno() if read < 0 else errno.EFAULT
        raise OSError(code, os.strerror(code))
    return here.raw
