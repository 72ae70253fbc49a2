"""Stores the observed states of servers. `actual_state` is written here and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from left4me.core import clock
from left4me.core.redis import signals
from servers.gamehost.port import Observed
from servers.gamehost.port import State as RuntimeState
from servers.models import Server, StateChange
from servers.state import crash_alerts, good_runs

HISTORY = timedelta(days=30)  # how long entries are kept
_KEPT_LINES = 50


def record_state(
    server: Server, state: Server.State, *, now: datetime, detail: str = "", last_lines: Sequence[str] = ()
) -> bool:
    """Store `state` as observed at `now`; return whether the state changed.

    An observation older than the stored one changes nothing: a sweep may have observed just before a job wrote.
    """
    not_newer = Q(actual_state_at=None) | _not_newer(now)
    # Conditional UPDATEs instead of read and save: sweep and job may write at the same time.
    with transaction.atomic():
        unchanged = Server.objects.filter(not_newer, pk=server.pk, actual_state=state)
        if unchanged.update(actual_state_at=now):
            server.actual_state_at = now
            return False
        if not Server.objects.filter(not_newer, pk=server.pk).update(actual_state=state, actual_state_at=now):
            return False
        mask = server.masker
        StateChange.objects.create(
            server_id=server.pk,
            at=now,
            state=state,
            detail=mask(detail),
            last_lines=[mask(line) for line in last_lines][-_KEPT_LINES:],
        )
        good_runs.note_end(server, state, now=now)
        before = Server.State(server.actual_state)
        crash_alerts.server_was_seen(server, state, before=before, detail=detail, now=now)
        signals.send_after_commit(server.resource)
    server.actual_state, server.actual_state_at = state, now
    return True


def record_remark(server: Server, detail: str, last_lines: Sequence[str], *, now: datetime) -> None:
    """Add an entry to the history of a server whose state does not change."""
    mask = server.masker
    StateChange.objects.create(
        server_id=server.pk,
        at=now,
        state=server.actual_state,
        detail=mask(detail),
        last_lines=[mask(line) for line in last_lines][-_KEPT_LINES:],
    )
    signals.send_after_commit(server.resource)


def record_crash(
    server: Server, observed: Observed, *, detail: str, last_lines: Sequence[str], state: Server.State, now: datetime
) -> None:
    """Add a crash to the history that happened between two observations; the second one found `state`."""
    crashed_at = observed.last_exit.at if observed.last_exit and observed.last_exit.at else now
    # Times are rounded to seconds by systemd, and a pass may have seen the crash itself.
    known = StateChange.objects.filter(
        server_id=server.pk, state=Server.State.CRASHED, at__gte=crashed_at - timedelta(seconds=1)
    )
    if known.exists():
        return
    lines = list(last_lines)[-_KEPT_LINES:]
    StateChange.objects.create(
        server_id=server.pk, at=crashed_at, state=Server.State.CRASHED, detail=detail, last_lines=lines
    )
    if state == server.actual_state and state != Server.State.CRASHED:
        # The state is the one before the crash, but it began anew.
        StateChange.objects.create(server_id=server.pk, at=max(crashed_at, observed.started_at or now), state=state)
    signals.send_after_commit(server.resource)


def record_process(server: Server, observed: Observed, *, now: datetime) -> None:
    """Store when the present process was started, and when a crashed game starts again."""
    started_at = server.started_at
    # A start in the future was measured by a clock that has been set back since.
    if started_at is not None and started_at > now:
        started_at = now
    # An earlier time is that of the same process: a start stores its own time once the process exists.
    if observed.started_at is not None and (started_at is None or now >= observed.started_at > started_at):
        started_at = observed.started_at
    if (started_at, observed.starts_again_at) == (server.started_at, server.starts_again_at):
        return
    Server.objects.filter(pk=server.pk).update(started_at=started_at, starts_again_at=observed.starts_again_at)
    server.started_at, server.starts_again_at = started_at, observed.starts_again_at
    signals.send_after_commit(server.resource)


def touch_states(servers: Sequence[Server], *, state: Server.State, now: datetime) -> None:
    """Set the time of observation of many servers whose state did not change, in one statement."""
    Server.objects.filter(_not_newer(now), pk__in=[server.pk for server in servers], actual_state=state).update(
        actual_state_at=now
    )


def _not_newer(now: datetime) -> Q:
    """Observed before `now`, or while the clock was ahead."""
    return Q(actual_state_at__lte=now) | Q(actual_state_at__gt=now + clock.AHEAD)


def clear_last_error(server: Server) -> None:
    set_last_error(server, "")


def set_last_error(server: Server, message: str, *, offered_port: int | None = None) -> None:
    """Show this error until the next successful start, with a port that would avoid it."""
    message = server.masker(message)
    row = Server.objects.filter(pk=server.pk)
    is_known = row.filter(last_error=message, offered_port=offered_port).exists()
    row.update(last_error=message, offered_port=offered_port)
    server.last_error, server.offered_port = message, offered_port
    if not is_known:
        signals.send_after_commit(server.resource)


def describe(observed: Observed) -> str:
    """The message that explains a crashed, given-up or unknown state; empty for any other state."""
    if observed.state not in {RuntimeState.CRASHED, RuntimeState.GAVE_UP, RuntimeState.UNKNOWN}:
        return ""
    message = observed.detail
    if observed.last_exit is not None and str(observed.last_exit) not in message:
        message = f"{message} (last exit: {observed.last_exit})".strip()
    return message or str(observed.state)


def prune(now: datetime) -> int:
    """Delete entries older than the history, except the newest one of each server."""
    newer = StateChange.objects.filter(server_id=OuterRef("server_id"), at__gt=OuterRef("at"))
    deleted, _ = StateChange.objects.filter(Exists(newer), at__lt=now - HISTORY).delete()
    return deleted
