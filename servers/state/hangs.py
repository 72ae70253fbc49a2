"""Detection of hung games: the process runs, but it does not answer. They are marked, and restarted on request.

The poller knows which servers do not answer and since when; this module decides whether that is a hang. A game that
loads a map or has just started does not answer either. A console that refuses the password does not count as silent.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta

from left4me.core.redis import signals
from left4me.jobs import actions as jobs
from left4me.jobs.models import Job
from servers.gamehost.port import Observed, ServerRuntime, State
from servers.models import Host, Server
from servers.state import state_log

logger = logging.getLogger(__name__)

HUNG_AFTER = timedelta(seconds=60)
AFTER_START = timedelta(minutes=2)
# A large campaign loads for minutes from a slow disk.
AFTER_MAP_CHANGE = timedelta(minutes=3)

_LINES = 50
_LOADS_A_MAP = ("Mapchange to ", "Loading map ")


def detect(host: Host, *, silent: Mapping[int, datetime], runtime: ServerRuntime, now: datetime) -> int:
    """Mark the servers in `silent` (each with the time since when) that hang; return how many were newly marked."""
    ended = Server.objects.filter(host=host, hung_since__isnull=False).exclude(pk__in=silent).order_by()
    if answering := list(ended.values_list("pk", flat=True)):
        ended.update(hung_since=None)
        signals.send(f"{signals.SERVER}:{pk}" for pk in answering)
    due = [server_id for server_id, since in silent.items() if now - since >= HUNG_AFTER]
    if not due:
        return 0
    observed = runtime.observe(due)
    marked = 0
    for server in Server.objects.filter(host=host, pk__in=due, hung_since=None).running().select_related("host"):
        try:
            if not _may_be_silent(observed[server.pk], server, runtime, now):
                _mark_hung(server, since=silent[server.pk], runtime=runtime, now=now)
                marked += 1
        except Exception:
            logger.exception("server %s: the check for an unresponsive game failed", server.pk)
    return marked


def _may_be_silent(observed: Observed, server: Server, runtime: ServerRuntime, now: datetime) -> bool:
    """True while the game may legitimately not answer: it just started or is changing map, or a job works on it."""
    if observed.state is not State.RUNNING or Job.objects.live().filter(resource=server.resource).exists():
        return True
    if observed.started_at is not None and now - observed.started_at < AFTER_START:
        return True
    lines = runtime.tail(server.pk, lines=_LINES)
    return any(
        line.at is not None and now - line.at < AFTER_MAP_CHANGE and any(text in line.text for text in _LOADS_A_MAP)
        for line in lines
    )


def _mark_hung(server: Server, *, since: datetime, runtime: ServerRuntime, now: datetime) -> None:
    message = f"The game has not responded since {since:%H:%M:%S} UTC."
    lines = [line.text for line in runtime.tail(server.pk, lines=_LINES)]
    state_log.record_remark(
        server, f"{message} Restarting it." if server.restart_when_hung else message, lines, now=now
    )
    Server.objects.filter(pk=server.pk).update(hung_since=since)
    signals.send_after_commit(server.resource)
    if not server.restart_when_hung:
        return
    try:
        jobs.request(operation="restart", resource=server.resource, by=None, host=server.host.name)
    except jobs.Refused as refusal:
        logger.warning("server %s is unresponsive and could not be restarted: %s", server.pk, refusal)
