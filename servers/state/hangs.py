"""Games that live and do not answer: marked as hung, and started anew where their owner wants that.

The poller knows who is silent and since when; here is decided what that means. A game that loads a map or has just
started is silent too, and a console that refuses our password says nothing about the game.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta

from left4me.jobs import actions as jobs
from left4me.jobs.models import Job
from servers.gamehost.port import Observed, ServerRuntime, State
from servers.models import Host, Server
from servers.state import state_log

logger = logging.getLogger(__name__)

HUNG_AFTER = timedelta(seconds=60)
AFTER_START = timedelta(minutes=2)
# A large campaign from a slow disk loads for minutes.
AFTER_MAP_CHANGE = timedelta(minutes=3)

_LINES = 50
_LOADS_A_MAP = ("Mapchange to ", "Loading map ")


def check(host: Host, *, silent: Mapping[int, datetime], runtime: ServerRuntime, now: datetime) -> int:
    """Look at the servers that have been silent, each since when; returns how many are newly taken for hung."""
    Server.objects.filter(host=host, hung_since__isnull=False).exclude(pk__in=silent).update(hung_since=None)
    long = [server_id for server_id, since in silent.items() if now - since >= HUNG_AFTER]
    if not long:
        return 0
    seen = runtime.observe(long)
    newly = 0
    for server in Server.objects.filter(host=host, pk__in=long, hung_since=None).running().select_related("host"):
        try:
            if not _has_reason(seen[server.pk], server, runtime, now):
                _take_for_hung(server, since=silent[server.pk], runtime=runtime, now=now)
                newly += 1
        except Exception:
            logger.exception("whether server %s hangs could not be found out", server.pk)
    return newly


def _has_reason(observed: Observed, server: Server, runtime: ServerRuntime, now: datetime) -> bool:
    """Whether its silence is explained by something else than a hang."""
    if observed.state is not State.RUNNING or Job.objects.live().filter(resource=server.resource).exists():
        return True
    if observed.started_at is not None and now - observed.started_at < AFTER_START:
        return True
    lines = runtime.tail(server.pk, lines=_LINES)
    return any(
        line.at is not None and now - line.at < AFTER_MAP_CHANGE and any(words in line.text for words in _LOADS_A_MAP)
        for line in lines
    )


def _take_for_hung(server: Server, *, since: datetime, runtime: ServerRuntime, now: datetime) -> None:
    words = f"Its process lives, but it has not answered since {since:%H:%M:%S} UTC."
    lines = [line.text for line in runtime.tail(server.pk, lines=_LINES)]
    state_log.remark(server, f"{words} It is restarted." if server.restart_when_hung else words, lines, now=now)
    Server.objects.filter(pk=server.pk).update(hung_since=since)
    if not server.restart_when_hung:
        return
    try:
        jobs.request(operation="restart", resource=server.resource, by=None, host=server.host.name)
    except jobs.Refused as refusal:
        logger.warning("server %s hangs and could not be restarted: %s", server.pk, refusal)
