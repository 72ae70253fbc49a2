"""The reconciler of a host: observes all its servers in one pass, stores their states, and restarts abandoned ones."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from left4me.jobs import actions as jobs
from left4me.jobs.models import Job
from servers.gamehost.port import Observed, RuntimeFault, ServerRuntime
from servers.gamehost.port import State as RuntimeState
from servers.gamehost.spec import RestartPolicy
from servers.models import Server
from servers.state import crash_alerts, start_retries, state_log

logger = logging.getLogger(__name__)

# A crashed game is restarted by its own supervisor (or by systemd) after a pause. Only a server that stays crashed for
# longer than the longest pause has lost its supervisor as well; a start during the pause would start the same server a
# second time. Computed from the policy, so that a longer pause cannot break this; the margin covers a slow start.
ABANDONED_AFTER = timedelta(seconds=RestartPolicy().last_pause_seconds + 4)

# Enough to find the end of the game before among the lines of the present one.
_LINES_SEARCHED = 400

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
    """Counts of one pass, for the log and the metrics."""

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
    """Observe every server of `host_name`. `rebooted`: this is the first pass since the machine booted."""
    servers = list(Server.objects.on_host(host_name).order_by("pk").select_related("host"))
    seen = runtime.observe([server.pk for server in servers])
    observed = {server.pk: _settled(server, seen[server.pk]) for server in servers}
    busy = _with_a_job(servers)
    answering = ready([s for s in servers if _needs_rcon_check(s, observed[s.pk], busy=s.resource in busy, now=now)])
    summary = Summary(seen=len(servers))
    unchanged_by_state: dict[Server.State, list[Server]] = {}
    for server in servers:
        if server.resource in busy:
            # The job stores its state and knows more: `starting` until RCON answers, `stopping` until nothing is left.
            continue
        try:
            # A game counts as running only once RCON has answered; the runtime alone cannot tell.
            state = _state(server, observed[server.pk], answers=server.pk in answering, now=now)
            summary.states[state] = summary.states.get(state, 0) + 1
            # A crash whose restart came before this pass leaves no other trace than the runtime's last exit.
            if crash := crash_alerts.crash_between(server, observed[server.pk]):
                crash_alerts.server_crashed(server, detail=crash, now=now)
                _record_crash(server, state, observed[server.pk], detail=crash, runtime=runtime, now=now)
            state_log.record_process(server, observed[server.pk], now=now)
            # Unchanged servers are collected, to update their time in one statement for each state.
            if state == server.actual_state:
                unchanged_by_state.setdefault(state, []).append(server)
            else:
                summary.changed += _record(server, state, observed[server.pk], now=now)
            summary.brought_back += _restart_if_abandoned(server, observed[server.pk], now=now, rebooted=rebooted)
            summary.brought_back += _try_again(server, observed[server.pk], now=now)
        except Exception:
            # One server must not keep the others from being observed.
            logger.exception("server %s could not be reconciled", server.pk)
            summary.failed += 1
    for state, unchanged in unchanged_by_state.items():
        state_log.touch_states(unchanged, state=state, now=now)
    return summary


def _with_a_job(servers: list[Server]) -> set[str]:
    resources = [server.resource for server in servers]
    return set(Job.objects.live().filter(resource__in=resources).values_list("resource", flat=True))


def _settled(server: Server, observed: Observed) -> Observed:
    """What is observed, but STOPPED for a server that shall not run and of which nothing runs.

    A stop whose end could not be stored, on a disk that was full or read-only, leaves a state that looks like a crash.
    """
    if server.desired_state != Server.Desired.STOPPED or not observed.is_abandoned:
        return observed
    return replace(observed, state=RuntimeState.STOPPED, detail="", last_lines=(), is_abandoned=False)


def _needs_rcon_check(server: Server, observed: Observed, *, busy: bool, now: datetime) -> bool:
    """Only a game that has just started is asked over RCON here; later the poller does that."""
    return not busy and observed.state is RuntimeState.RUNNING and not _was_ready(server, observed, now)


def _was_ready(server: Server, observed: Observed, now: datetime) -> bool:
    if server.actual_state != Server.State.RUNNING or server.actual_state_at is None:
        return False
    # A start in the future was measured by a clock that has been set back since.
    return observed.started_at is None or not server.actual_state_at < observed.started_at <= now


def _state(server: Server, observed: Observed, *, answers: bool, now: datetime) -> Server.State:
    if observed.state is RuntimeState.RUNNING and not answers and not _was_ready(server, observed, now):
        return Server.State.STARTING
    return _AS_OBSERVED[observed.state]


def _record(server: Server, state: Server.State, observed: Observed, *, now: datetime) -> bool:
    message = state_log.describe(observed)
    if message:
        state_log.set_last_error(server, message)
    elif state == Server.State.RUNNING and server.last_error:
        state_log.clear_last_error(server)
    return state_log.record_state(server, state, now=now, detail=message, last_lines=observed.last_lines)


def _record_crash(
    server: Server, state: Server.State, observed: Observed, *, detail: str, runtime: ServerRuntime, now: datetime
) -> None:
    """Add a crash to the history that no change of the state shows."""
    if state not in {Server.State.CRASHED, Server.State.GAVE_UP}:
        lines = _lines_until_exit(server, observed, runtime)
        state_log.record_crash(server, observed, detail=detail, last_lines=lines, state=state, now=now)
    elif state == server.actual_state:
        # It was restarted and crashed again since the last pass.
        detail = state_log.describe(observed)
        state_log.record_crash(server, observed, detail=detail, last_lines=observed.last_lines, state=state, now=now)


def _lines_until_exit(server: Server, observed: Observed, runtime: ServerRuntime) -> list[str]:
    """The last lines of a game that has been restarted since."""
    ended_at = observed.last_exit.at if observed.last_exit else None
    if ended_at is None:
        return []
    # Times of exits may be rounded down to seconds.
    until = ended_at + timedelta(seconds=1)
    try:
        lines = runtime.tail(server.pk, lines=_LINES_SEARCHED)
    except RuntimeFault:
        return []
    return [line.text for line in lines if line.at is not None and line.at <= until]


def _restart_if_abandoned(server: Server, observed: Observed, *, now: datetime, rebooted: bool) -> bool:
    """Request a start of a server that should run and that nothing else restarts; return whether one was requested.

    That is so after a reboot, and when the game and its supervisor died together. A server that is stopped in any
    other case was stopped by an administrator of the machine, and one that gave up waits for a user.
    """
    if server.desired_state != Server.Desired.RUNNING:
        return False
    if observed.is_abandoned:
        # The runtime knows that the supervisor is dead.
        abandoned = True
    elif observed.state is RuntimeState.CRASHED:
        # The supervisor is waiting to restart it, or hangs: decided by time.
        abandoned = now - _crashed_at(server, observed, now=now) >= ABANDONED_AFTER
    else:
        # After a boot nothing runs although it should; at any other time a stopped server was stopped on purpose.
        abandoned = rebooted and observed.state is RuntimeState.STOPPED
    return abandoned and _request_start(server)


def _request_start(server: Server) -> bool:
    try:
        jobs.request(operation="start", resource=server.resource, by=None, host=server.host.name)
    except jobs.Refused as refusal:
        logger.warning("server %s could not be restarted: %s", server.pk, refusal)
        return False
    return True


def _try_again(server: Server, observed: Observed, *, now: datetime) -> bool:
    """Request the next attempt of a failed start when it is due; return whether one was requested."""
    if observed.state is RuntimeState.RUNNING:
        start_retries.forget(server)
    if observed.state not in {RuntimeState.STOPPED, RuntimeState.GAVE_UP} or not start_retries.is_due(server, now=now):
        return False
    return _request_start(server)


def _crashed_at(server: Server, observed: Observed, *, now: datetime) -> datetime:
    # A supervisor that was killed could not store the time; then the first observation of the crash counts.
    if observed.last_exit is not None and observed.last_exit.at is not None:
        return observed.last_exit.at
    newest = server.state_changes.first()
    return newest.at if newest is not None and newest.state == Server.State.CRASHED else now
