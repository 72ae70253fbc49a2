"""The periodic tasks of hosts. Each is also callable as a plain function."""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta
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
from servers.actions import copies
from servers.copies import desk as copies_desk
from servers.game_access import application
from servers.gamehost.port import RuntimeFault
from servers.gamehost.storage import KEPT
from servers.hosts import game_checks, own_copies, own_key, reconcile, rpc, rpc_handlers, silence, this_host
from servers.identity import live
from servers.lifecycle import readiness
from servers.logs import cleanup
from servers.models import DeletedServer, Host, Server
from servers.moves import desk, leftovers
from servers.plugins import settings as plugin_settings
from servers.sourcetv import application as sourcetv
from servers.state import copies as copies_state
from servers.state import crash_alerts, game_updates, state_log, usage

logger = logging.getLogger(__name__)

_FOLDERS_EVERY = timedelta(days=1)
_FOLDERS_EVERY_WHEN_LOW = timedelta(minutes=5)

_watch = silence.SilenceMonitor()


@shared_task(name="servers.ask_hosts")
def ask_hosts(task: str, every_seconds: float) -> None:
    """Send `task` to every host. It expires before the next one; none pile up for a host that is down."""
    for name in Host.objects.values_list("name", flat=True):
        if hosts.has_room(name):
            hosts.send(name, task, expires=every_seconds * 0.9)


@shared_task(name="servers.refresh")
def refresh() -> None:
    """Observe all servers of this host and report that the host is alive."""
    now, started = timezone.now(), time.monotonic()
    host = this_host.row()
    own_key.leave_the_key_of_the_web(host)
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
        **this_host.facts(host.facts),
        "boot": boot,
        "refusal": schema.mismatch(),
        # The duration of one pass, for the metrics.
        "look_seconds": round(time.monotonic() - started, 3),
    }
    game_version = this_host.game_version()
    Host.objects.filter(pk=host.pk).update(last_seen_at=now, version=VERSION, facts=facts, game_version=game_version)
    silence.host_has_reported(host, version=VERSION, game_version=game_version, facts=facts, now=now)
    crash_alerts.disk_was_seen(host, free=facts["disk"]["free"], now=now)
    host.facts = facts
    if host.backups_machine:
        crash_alerts.backup_was_seen(host, now=now)
    _measure_usage(host, now)


@shared_task(name=game_updates.CHECK_TASK)
def check_game() -> None:
    """Ask for the newest build of the game if that is due."""
    game_checks.check_when_due(timezone.now)


@shared_task(name="servers.measure_folders", ignore_result=True)
def measure_folders() -> None:
    """Measure what takes the disk of this host: once a day, and every few minutes while it is nearly full."""
    host, now = this_host.row(), timezone.now()
    known: dict[str, Any] | None = host.facts.get("folders")
    every = _FOLDERS_EVERY_WHEN_LOW if host.disk_is_low else _FOLDERS_EVERY
    if known and abs(now.timestamp() - known["at"]) < every.total_seconds():
        return
    folders = {"at": now.timestamp(), "sizes": this_host.folders()}
    # Read again: measuring takes a while.
    facts = Host.objects.values_list("facts", flat=True).get(pk=host.pk)
    Host.objects.filter(pk=host.pk).update(facts={**facts, "folders": folders})


def _measure_usage(host: Host, now: datetime) -> None:
    states = dict(Server.objects.filter(host=host).order_by().values_list("pk", "actual_state"))
    idle = {Server.State.STOPPED, Server.State.GAVE_UP, Server.State.UNKNOWN}
    running = {pk for pk, state in states.items() if state not in idle}
    try:
        usage.sample(states, running=running, runtime=this_host.runtime(), now=now)
    except (redis.RedisError, RuntimeFault) as error:
        logger.warning("the resource usage of servers could not be measured: %s", error)


@shared_task(name=rpc.TASK)
def answer(token: str, procedure: str, values: dict[str, Any]) -> None:
    """Carry out a call of a page that waits for the reply."""
    rpc.reply(token, rpc_handlers.handle(procedure, values))


@shared_task(name=application.TASK, ignore_result=True)
def apply_game_access() -> None:
    """Apply the admins of running games of this host that have changed."""
    application.apply(settings.LEFT4ME_HOST, now=timezone.now())


@shared_task(name=plugin_settings.TASK, ignore_result=True)
def apply_plugin_settings(server_id: int) -> None:
    """Have a running game take over the settings of its plugins."""
    plugin_settings.apply(server_id)


@shared_task(name=sourcetv.TASK, ignore_result=True)
def apply_sourcetv(server_id: int) -> None:
    """Have a running game take over the options of SourceTV."""
    sourcetv.apply(server_id)


@shared_task(name=live.TASK, ignore_result=True)
def apply_identity(server_id: int) -> None:
    """Have a running game take over another name, other tags and the like."""
    live.apply(server_id)


@shared_task(name="servers.tail")
def tail(server_id: int) -> None:
    """Publish this server's log for as long as it has viewers."""
    this_host.tailers().ensure(server_id)


@shared_task(name="servers.watch_hosts", ignore_result=True)
def watch_hosts() -> None:
    """Check from this host which other hosts are silent."""
    _watch.check(here=settings.LEFT4ME_HOST, now=timezone.now())


@shared_task(name="servers.prune")
def prune() -> None:
    now = timezone.now()
    state_log.prune(now)
    DeletedServer.objects.filter(deleted_at__lte=now - KEPT).delete()


@shared_task(name=desk.DROP_TASK, ignore_result=True)
def drop_moved() -> None:
    """Remove the files of servers that have moved to another host."""
    leftovers.remove_moved()


@shared_task(name="servers.forget_moves", ignore_result=True)
def forget_moves() -> None:
    """On the web's host: forget moves that have ended without being finished, with what was sent of them."""
    desk.forget_ended()


@shared_task(name="servers.copy_due", ignore_result=True)
def copy_due() -> None:
    """On the web's host: request the copies of worker hosts' servers that are due, and forget those of no use."""
    now = timezone.now()
    copies_desk.tidy()
    copies.request_due(now)
    others = Host.objects.exclude(name=settings.LEFT4ME_HOST)
    late = copies_state.late_servers(others, now=now)
    for host in others:
        crash_alerts.copies_were_seen(host, late.get(host.pk, []), now=now)


@shared_task(name="servers.tidy")
def tidy() -> None:
    """Remove expired files from this host: archives of deleted servers, copies of overlays, unused game versions,
    what games logged long ago, own copies that were set aside, and servers that have moved away."""
    now, storage = timezone.now(), this_host.storage()
    storage.purge_deleted(now=now)
    layers.tidy()
    for server_id in storage.ids():
        try:
            cleanup.remove_old(storage.of(server_id), now=now, days=settings.LEFT4ME_GAME_LOG_DAYS)
        except OSError as fault:
            logger.warning("old logs of server %s could not be deleted: %s", server_id, fault)
    own_copies.forget_aside(now=now)
    own_copies.note_all()
    leftovers.remove_moved()
    if settings.LEFT4ME_WEB_URL:
        leftovers.remove_unfinished()
    if not this_host.games().unused(in_use=storage.layers_in_use()):
        return
    # As a job, whose lock keeps servers from starting with a version that is being removed.
    try:
        jobs.request(operation="clean_game", resource="game", by=None, host=settings.LEFT4ME_HOST)
    except jobs.Refused as refusal:
        logger.warning("unused versions of the game could not be removed: %s", refusal)
