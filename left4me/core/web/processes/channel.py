"""What the parent and one of its processes say to each other, over a pair of sockets that keeps messages apart.

The parent sends connections, and at last the order to end. The process reports how many it has taken and closed since
its start: sums, so that a report that could not be sent is made good by the next one.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_CONNECTION: Final = b"c"
_END: Final = b"e"
_REPORT: Final = struct.Struct("=QQ?")


class Closed(Exception):
    """The other side is gone."""


@dataclass(frozen=True)
class Report:
    """How many connections a process has taken and closed since its start, and whether it takes no more."""

    taken: int
    closed: int
    is_leaving: bool


def pair() -> tuple[ParentEnd, ChildEnd]:
    """A new channel."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return ParentEnd(ours), ChildEnd(theirs)


class _End:
    def __init__(self, own: socket.socket) -> None:
        own.setblocking(False)
        self._socket = own

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()


class ParentEnd(_End):
    def give(self, connection: socket.socket) -> bool:
        """Pass a copy of the connection; False if the process takes no more now."""
        try:
            socket.send_fds(self._socket, [_CONNECTION], [connection.fileno()])
        except OSError:
            return False
        return True

    def order_end(self) -> bool:
        """Tell the process to end, after the connections that were given before; False to try again later."""
        try:
            self._socket.send(_END)
        except OSError:
            return False
        return True

    def reports(self) -> Iterator[Report]:
        """The reports that have arrived. Raises Closed when the process is gone."""
        while True:
            try:
                message = self._socket.recv(_REPORT.size)
            except BlockingIOError:
                return
            except ConnectionResetError:
                # It ended with connections that it had not taken. What it reported before can still be read.
                continue
            if not message:
                raise Closed
            yield Report(*_REPORT.unpack(message))


class ChildEnd(_End):
    def report(self, report: Report) -> None:
        with contextlib.suppress(OSError):
            self._socket.send(_REPORT.pack(report.taken, report.closed, report.is_leaving))

    def connections(self) -> Iterator[socket.socket | None]:
        """The connections that have arrived; None for one that this process had no descriptor for.

        Raises Closed after the order to end, or when the parent is gone.
        """
        while True:
            try:
                message, descriptors, _, _ = socket.recv_fds(self._socket, 1, 1, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return
            except OSError as error:
                raise Closed from error
            if message != _CONNECTION:
                raise Closed
            yield socket.socket(fileno=descriptors[0]) if descriptors else None
