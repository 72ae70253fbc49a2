"""Writes down what was observed of servers: the one way that `actual_state` changes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from servers.gamehost.port import Observed
from servers.gamehost.port import State as RuntimeState
from servers.models import Server, StateChange
from servers.state import crash_alerts

HISTORY = timedelta(days=30)
_KEPT_LINES = 50


def note(
    server: Server, state: Server.State, *, now: datetime, detail: str = "", last_lines: Sequence[str] = ()
) -> bool:
    """Write `state` as observed at `now`; return whether it is news.

    An observation older than the one on record changes nothing: a sweep may have looked just before a job wrote.
    """
    newer = Q(actual_state_at=None) | Q(actual_state_at__lte=now)
    with transaction.atomic():
        same = Server.objects.filter(newer, pk=server.pk, actual_state=state)
        if same.update(actual_state_at=now):
            server.actual_state_at = now
            return False
        if not Server.objects.filter(newer, pk=server.pk).update(actual_state=state, actual_state_at=now):
            return False
        StateChange.objects.create(
            server_id=server.pk, at=now, state=state, detail=detail, last_lines=list(last_lines)[-_KEPT_LINES:]
        )
        crash_alerts.server_was_seen(server, state, detail=detail, now=now)
    server.actual_state, server.actual_state_at = state, now
    return True


def remark(server: Server, detail: str, last_lines: Sequence[str], *, now: datetime) -> None:
    """Keep something worth knowing in the history of a server whose state stays as it is."""
    StateChange.objects.create(
        server_id=server.pk,
        at=now,
        state=server.actual_state,
        detail=detail,
        last_lines=list(last_lines)[-_KEPT_LINES:],
    )


def note_all(servers: Sequence[Server], *, state: Server.State, now: datetime) -> None:
    """Bump the time of many servers that are as they were, in one statement."""
    Server.objects.filter(
        Q(actual_state_at__lte=now), pk__in=[server.pk for server in servers], actual_state=state
    ).update(actual_state_at=now)


def fail(server: Server, message: str) -> None:
    """Keep what the operator must know until a start succeeds."""
    Server.objects.filter(pk=server.pk).update(last_error=message)
    server.last_error = message


def describe(observed: Observed) -> str:
    """Why a server is in trouble, in words; empty when it is not."""
    if observed.state not in {RuntimeState.CRASHED, RuntimeState.GAVE_UP, RuntimeState.UNKNOWN}:
        return ""
    words = observed.detail
    if observed.last_exit is not None and str(observed.last_exit) not in words:
        words = f"{words} (last exit: {observed.last_exit})".strip()
    return words or str(observed.state)


def prune(now: datetime) -> int:
    """Forget changes older than the history, but for each server's present state."""
    newer = StateChange.objects.filter(server_id=OuterRef("server_id"), at__gt=OuterRef("at"))
    deleted, _ = StateChange.objects.filter(Exists(newer), at__lt=now - HISTORY).delete()
    return deleted
