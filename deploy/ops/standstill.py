"""A time in which the application stands still: visitors wait, games run, and no signal leaves it half done."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from deploy.language import gettext as _
from deploy.ops.layout import Layout


@contextmanager
def web_held(layout: Layout) -> Iterator[Callable[[], None]]:
    """Keep the web from starting until the yielded function is called or this process ends.

    The socket starts the web's unit at the next connection. The unit, and so the visitor, then waits for this lock,
    as root: whoever can open the file can keep an upgrade waiting.
    """
    with (layout.program / "web.hold").open("w") as lock:
        os.fchmod(lock.fileno(), 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lambda: fcntl.flock(lock, fcntl.LOCK_UN)


class _Interrupted(Exception):
    """This process received a signal that asks it to end."""


@contextmanager
def signals_as_faults() -> Iterator[None]:
    """Let SIGINT and SIGTERM take the upgrade back. SIGHUP is ignored: a closed terminal does not end an upgrade."""

    def interrupted(number: int, frame: FrameType | None) -> None:
        raise _Interrupted(_("interrupted by %(signal)s") % {"signal": signal.Signals(number).name})

    with _handlers({signal.SIGINT: interrupted, signal.SIGTERM: interrupted, signal.SIGHUP: signal.SIG_IGN}):
        yield


@contextmanager
def signals_ignored() -> Iterator[None]:
    with _handlers(dict.fromkeys((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), signal.SIG_IGN)):
        yield


@contextmanager
def _handlers(
    by_signal: dict[signal.Signals, Callable[[int, FrameType | None], None] | signal.Handlers],
) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number, handler in by_signal.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
