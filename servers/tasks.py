"""What beat asks of the hosts. Each task is also callable as a plain function."""

from __future__ import annotations

import logging
import time
from datetime import datetime
from typing import Any

import redis
from celery import shared_task
from django.conf import settings
from django.utils import timezone

from left4me.core import schema
from left4me.core.redis import hosts
from left4me.core.version import VERSION
from left4me.jobs import actions as jobs
from overlays.replication import layers
from servers.gamehost.port import RuntimeFault
from servers.hosts import reconcile, rpc, rpc_handlers, silence, this_host
from servers.lifecycle import readiness
from servers.models import Host, Server
from servers.state import crash_alerts, state_log, usage

logger = logging.getLogger(__name__)

_watch = silence.Watch()


@shared_task(name="servers.ask_hosts")
def ask_hosts(task: str, every_seconds: float) -> None:
    """Send `task` to every host. It expires before the next one comes, so that a host that is down gathers none."""
    for name in Host.objects.values_list("name", flat=True):
        hosts.send(name, task, expires=every_seconds * 0.9)


@shared_task(name="servers.refresh")
def refresh() -> None:
    """Look at all servers of this host and say that it is alive."""
    now, began = timezone.now(), time.monotonic()
    host = this_host.row()
    boot = this_host.boot()
    reconcile.refresh(
        host.name,
        runtime=this_host.runtime(),
        ready=readiness.ready,
        now=now,
        rebooted=host.facts.get("boot") not in {None, boot},
    )
    facts = {
        **host.facts,
        **this_host.facts(),
        "boot": boot,
        "refusal": schema.mismatch(),
        # How long a look takes, for those who watch the application.
        "look_seconds": round(time.monotonic() - began, 3),
    }
    Host.objects.filter(pk=host.pk).update(
        last_seen_at=now, version=VERSION, facts=facts, game_version=this_host.game_version()
    )
    crash_alerts.disk_was_seen(host, free=facts["disk"]["free"], now=now)
    _measure(host, now)


def _measure(host: Host, now: datetime) -> None:
    states = dict(Server.objects.filter(host=host).values_list("pk", "actual_state"))
    idle = {Server.State.STOPPED, Server.State.GAVE_UP, Server.State.UNKNOWN}
    running = {pk for pk, state in states.items() if state not in idle}
    try:
        usage.sample(states, running=running, runtime=this_host.runtime(), now=now)
    except (redis.RedisError, RuntimeFault) as error:
        logger.warning("what servers use could not be told: %s", error)


@shared_task(name=rpc.TASK)
def answer(token: str, question: str, values: dict[str, Any]) -> None:
    """Answer a page that waits."""
    rpc.answer(token, rpc_handlers.answer(question, values))


@shared_task(name="servers.tail")
def tail(server_id: int) -> None:
    """Carry this server's log to those who watch it, for as long as somebody does."""
    this_host.tailers().ensure(server_id)


@shared_task(name="servers.watch_hosts", ignore_result=True)
def watch_hosts() -> None:
    """See from here which other hosts are silent."""
    _watch.look(here=settings.LEFT4ME_HOST, now=timezone.now())


@shared_task(name="servers.prune")
def prune() -> None:
    state_log.prune(timezone.now())


@shared_task(name="servers.tidy")
def tidy() -> None:
    """Remove from this host's disk what was kept long enough: archives of deleted servers, versions nobody runs."""
    this_host.storage().purge_deleted(now=timezone.now())
    layers.tidy()
    if not this_host.games().unused(in_use=this_host.storage().layers_in_use()):
        return
    # By a job: it has to keep starts away from the versions meanwhile.
    try:
        jobs.request(operation="clean_game", resource="game", by=None, host=settings.LEFT4ME_HOST)
    except jobs.Refused as refusal:
        logger.warning("unused versions of the game could not be removed: %s", refusal)
