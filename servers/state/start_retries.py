"""Further attempts to start a server after a failed one, while it is wanted and only where time may mend the cause.

A start that fails writes down when the next attempt is due; the reconciler of the host requests it. Each request of a
user begins the count anew.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from django.db import DatabaseError
from django.utils import timezone

from left4me.core import clock
from left4me.core.concurrency import Cancelled
from left4me.jobs.context import JobContext
from left4me.jobs.operations import Failed
from servers.models import Host, Server

logger = logging.getLogger(__name__)

# Before the second attempt, the third, and so on. Together they are a bit over an hour.
PAUSES: Final = tuple(timedelta(seconds=seconds) for seconds in (10, 30, 60, 120, 300, 600, 1200, 1800))


@contextlib.contextmanager
def attempt(server: Server, run: JobContext) -> Iterator[None]:
    """Plan the next attempt if the start inside fails for a reason that may pass; forget failed ones otherwise."""
    try:
        yield
    except Cancelled:
        raise
    except Exception as error:
        # What is no failure in words is an error of the machine, such as a full disk, or a defect.
        may_pass = error.may_pass if isinstance(error, Failed) else True
        with contextlib.suppress(DatabaseError):
            _plan(server, run, now=timezone.now()) if may_pass else forget(server)
        raise
    forget(server)


def is_due(server: Server, *, now: datetime) -> bool:
    """Whether the server is wanted, does not run, and its next attempt is due."""
    at = server.next_start_at
    if at is None or server.desired_state != Server.Desired.RUNNING or not server.is_at_rest:
        return False
    # No attempt is planned that far ahead: the clock was wrong then.
    return at <= now or at > now + PAUSES[-1] + clock.AHEAD


def game_arrived(host: Host, *, now: datetime) -> int:
    """Plan the start of every server of the host that is wanted and had no game to run until now; return how many."""
    waiting = host.servers.filter(desired_state=Server.Desired.RUNNING, actual_state=Server.State.STOPPED)
    return waiting.update(failed_starts=0, next_start_at=now)


def forget(server: Server) -> None:
    if server.failed_starts or server.next_start_at is not None:
        _store(server, failed=0, next_at=None)


def _plan(server: Server, run: JobContext, *, now: datetime) -> None:
    row = Server.objects.filter(pk=server.pk).values("failed_starts", "desired_state").first()
    if row is None or row["desired_state"] != Server.Desired.RUNNING:
        return
    failed = row["failed_starts"] + 1
    if failed > len(PAUSES):
        _store(server, failed=failed, next_at=None)
        run.log(f"This was attempt {failed}. No further one is made until somebody starts the server.")
        return
    pause = PAUSES[failed - 1]
    _store(server, failed=failed, next_at=now + pause)
    run.log(f"The next attempt follows in {pause.total_seconds():.0f} s, as long as the server is wanted.")


def _store(server: Server, *, failed: int, next_at: datetime | None) -> None:
    Server.objects.filter(pk=server.pk).update(failed_starts=failed, next_start_at=next_at)
    server.failed_starts, server.next_start_at = failed, next_at
