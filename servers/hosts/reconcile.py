"""Looks at all servers of a host in one pass, writes what it saw, and brings back what should run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from left4me.jobs import actions as jobs
from left4me.jobs.models import Job
from servers.gamehost.port import Observed, ServerRuntime
from servers.gamehost.port import State as RuntimeState
from servers.models import Server
from servers.state import crash_alerts, state_log

logger = logging.getLogger(__name__)

# A crashed game comes back by its own supervisor after at most 30 s of pause; longer means that this died as well.
ABANDONED_AFTER = timedelta(seconds=20)

_AS_OBSERVED = {
    RuntimeState.UNKNOWN: Server.State.UNKNOWN,
    RuntimeState.STOPPED: Server.State.STOPPED,
    RuntimeState.STARTING: Server.State.STARTING,
    RuntimeState.RUNNING: Server.State.RUNNING,
    RuntimeState.STOPPING: Server.State.STOPPING,
    RuntimeState.CRASHED: Server.State.CRASHED,
    RuntimeState.GAVE_UP: Server.State.GAVE_UP,
}


@dataclass
class Summary:
    seen: int = 0
    changed: int = 0
    brought_back: int = 0
    failed: int = 0
    states: dict[str, int] = field(default_factory=dict)


def refresh(
    host_name: str,
    *,
    runtime: ServerRuntime,
    ready: Callable[[Iterable[Server]], set[int]],
    now: datetime,
    rebooted: bool,
) -> Summary:
    """Observe every server of `host_name`; `rebooted` says that this is the first look since the machine came up."""
    servers = list(Server.objects.on_host(host_name).select_related("host"))
    seen = runtime.observe([server.pk for server in servers])
    busy = _with_a_job(servers)
    answering = ready([s for s in servers if _must_be_asked(s, seen[s.pk], busy=s.resource in busy)])
    summary = Summary(seen=len(servers))
    as_they_were: dict[Server.State, list[Server]] = {}
    for server in servers:
        if server.resource in busy:
            # Its job observes it, and knows more: `starting` until RCON answers, `stopping` until all is gone.
            continue
        try:
            state = _state(server, seen[server.pk], answers=server.pk in answering)
            summary.states[state] = summary.states.get(state, 0) + 1
            if crash := crash_alerts.crash_between(server, seen[server.pk]):
                crash_alerts.server_crashed(server, detail=crash, now=now)
            if state == server.actual_state:
                as_they_were.setdefault(state, []).append(server)
            else:
                summary.changed += _note(server, state, seen[server.pk], now=now)
            summary.brought_back += _bring_back(server, seen[server.pk], now=now, rebooted=rebooted)
        except Exception:
            logger.exception("server %s could not be refreshed", server.pk)
            summary.failed += 1
    for state, unchanged in as_they_were.items():
        state_log.note_all(unchanged, state=state, now=now)
    return summary


def _with_a_job(servers: list[Server]) -> set[str]:
    resources = [server.resource for server in servers]
    return set(Job.objects.live().filter(resource__in=resources).values_list("resource", flat=True))


def _must_be_asked(server: Server, observed: Observed, *, busy: bool) -> bool:
    """Only a game that is newly up is asked here whether it is ready; the poller keeps watch from then on."""
    return not busy and observed.state is RuntimeState.RUNNING and not _was_ready(server, observed)


def _was_ready(server: Server, observed: Observed) -> bool:
    if server.actual_state != Server.State.RUNNING or server.actual_state_at is None:
        return False
    return observed.started_at is None or server.actual_state_at >= observed.started_at


def _state(server: Server, observed: Observed, *, answers: bool) -> Server.State:
    if observed.state is RuntimeState.RUNNING and not answers and not _was_ready(server, observed):
        return Server.State.STARTING
    return _AS_OBSERVED[observed.state]


def _note(server: Server, state: Server.State, observed: Observed, *, now: datetime) -> bool:
    words = state_log.describe(observed)
    if words:
        state_log.fail(server, words)
    elif state == Server.State.RUNNING and server.last_error:
        state_log.fail(server, "")
    return state_log.note(server, state, now=now, detail=words, last_lines=observed.last_lines)


def _bring_back(server: Server, observed: Observed, *, now: datetime, rebooted: bool) -> bool:
    """Ask for a start of what should run and does not: after a reboot, or when game and supervisor died together.

    What stopped in any other way was stopped by someone at the machine, and what gave up waits for a person.
    """
    if server.desired_state != Server.Desired.RUNNING:
        return False
    if observed.is_abandoned:
        abandoned = True
    elif observed.state is RuntimeState.CRASHED:
        abandoned = now - _crashed_at(server, observed, now=now) >= ABANDONED_AFTER
    else:
        abandoned = rebooted and observed.state is RuntimeState.STOPPED
    if not abandoned:
        return False
    try:
        jobs.request(operation="start", resource=server.resource, by=None, host=server.host.name)
    except jobs.Refused as refusal:
        logger.warning("server %s could not be brought back: %s", server.pk, refusal)
        return False
    return True


def _crashed_at(server: Server, observed: Observed, *, now: datetime) -> datetime:
    # A supervisor that was killed could not write when; then it counts from the first time this was seen.
    if observed.last_exit is not None and observed.last_exit.at is not None:
        return observed.last_exit.at
    newest = server.state_changes.first()
    return newest.at if newest is not None and newest.state == Server.State.CRASHED else now
