"""Carries out what a host shall do by itself about an update of the game: install it, and restart its servers."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Final

from left4me.audit import record
from left4me.core.web.refusals import Refused
from left4me.jobs import actions as jobs
from left4me.jobs.models import Job
from left4me.schedules import bulk, recurrence
from left4me.schedules.models import Action, BulkAction, Condition
from left4me.schedules.planner import GRACE
from servers.models import Host, Server
from servers.models.hosts import UpdatePolicy
from servers.state import game_updates

logger = logging.getLogger(__name__)

# Minutes before a restart at a set time at which players are told.
WARNINGS: Final = (10, 5, 1)

_RETRY_INSTALL_AFTER: Final = timedelta(hours=6)


def follow_policies(now: datetime) -> None:
    """Install and apply updates where the host's policy says so. A host that fails does not stop the others."""
    for host in Host.objects.exclude(update_policy=UpdatePolicy.TELL).select_related("game_check"):
        try:
            _follow(host, now)
        except Exception:
            logger.exception("The game update of host %s could not be carried out", host.name)


def next_time(host: Host, now: datetime) -> datetime:
    """When the servers restart with the installed version, by the policy `at_time`: the first set time after that."""
    hour_and_minute = f"{host.update_time.minute} {host.update_time.hour} * * *"
    after = max(host.installed_at or now, now - GRACE)
    return recurrence.next_times(hour_and_minute, host.update_zone, after=after)[0]


def outdated_servers(host: Host) -> list[Server]:
    """The running servers of the host with another build than the installed one."""
    build = game_updates.build_of(host.game_version)
    running = Server.objects.running().filter(host=host, desired_state=Server.Desired.RUNNING)
    return list(running.exclude(game_version="").exclude(game_version__endswith=f"-{build}").with_blueprint())


def _follow(host: Host, now: datetime) -> None:
    if not host.game_version or host.is_down(now) or Job.objects.live().on_host(host.name).filter(resource="game"):
        return
    if host.update_is_wanted:
        _install(host, now)
    elif host.update_policy in (UpdatePolicy.WHEN_EMPTY, UpdatePolicy.AT_TIME):
        _apply(host, now)


def _install(host: Host, now: datetime) -> None:
    newest = Job.objects.filter(host=host.name, resource="game", operation="install").order_by("-pk").first()
    if newest is not None and newest.finished_at is not None:
        if newest.state == Job.State.FAILED and now - newest.finished_at < _RETRY_INSTALL_AFTER:
            return
        noticed_at = host.last_check.noticed_at if host.last_check else None
        # It was cancelled, or brought another build than Steam had named: a person has to look.
        if newest.state != Job.State.FAILED and noticed_at is not None and newest.created_at >= noticed_at:
            return
    try:
        job = jobs.request(operation="install", resource="game", by=None, host=host.name)
    except Refused as refusal:
        logger.warning("The game of host %s could not be updated: %s", host.name, refusal)
        return
    record.write(action="host.install", by=None, target=f"host:{host.pk}", job=job.pk)


def _apply(host: Host, now: datetime) -> None:
    # After a roll-back servers are restarted by people only.
    if host.last_check is None or host.last_check.left_build:
        return
    applied = BulkAction.objects.filter(
        host=host, game_version=host.game_version, origin=BulkAction.Origin.GAME_UPDATE
    )
    if applied.exists():
        return
    waits = host.update_policy == UpdatePolicy.WHEN_EMPTY
    due_at = now if waits else next_time(host, now)
    if now < due_at - timedelta(minutes=max(WARNINGS)) or not (servers := outdated_servers(host)):
        return
    condition = Condition.WAIT_SKIP if waits else Condition.ALWAYS
    planned = bulk.plan(servers, action=Action.RESTART, condition=condition, only_changed=False, by=None, now=now)
    action = BulkAction(
        origin=BulkAction.Origin.GAME_UPDATE,
        host=host,
        action=Action.RESTART,
        condition=condition,
        at_once=host.update_at_once,
        game_version=host.game_version,
        created_at=now,
    )
    try:
        bulk.begin(action, planned, due_at=due_at, warn_minutes=[] if waits else WARNINGS)
    except Refused as refusal:
        logger.info("The game update of host %s is not applied now: %s", host.name, refusal)
