"""Network namespaces for tests as root: two machines, joined by a cable, that nothing outside of the test sees."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from left4me.core.processes import commands

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class Namespace:
    """A thread with a network of its own. Sockets and processes that are made in it stay in its network."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1)
        self.path = self._thread.submit(self._enter).result()
        self.sh("ip", "link", "set", "lo", "up")

    def run(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Call a function in the network, and return what it returns."""
        return self._thread.submit(call, *arguments, **options).result()

    def sh(self, *argv: str, stdin: str = "") -> str:
        finished: commands.Finished = self.run(commands.run, argv, timeout=20, stdin=stdin)
        return finished.output

    def close(self) -> None:
        self._thread.shutdown()

    @staticmethod
    def _enter() -> str:
        if _libc.unshare(_CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "a network namespace cannot be made")
        return f"/proc/{os.getpid()}/task/{threading.get_native_id()}/ns/net"


@contextmanager
def joined() -> Iterator[tuple[Namespace, Namespace]]:
    """Two networks that are joined: in 10.9.0.0/16 and fd09::/16, the first has the addresses 10.9.0.1 and fd09::1."""
    near, far = Namespace(), Namespace()
    try:
        # A network is named by a file or by a process, and a thread is one for this.
        thread = far.path.split("/")[4]
        near.sh("ip", "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", thread)
        for side, number in ((near, 1), (far, 2)):
            side.sh("ip", "address", "add", f"10.9.0.{number}/16", "dev", "cable")
            side.sh("ip", "address", "add", f"fd09::{number}/16", "dev", "cable", "nodad")
            side.sh("ip", "link", "set", "cable", "up")
        yield near, far
    finally:
        near.close()
        far.close()
