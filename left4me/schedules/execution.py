"""Carries out runs whose time has come, warns the players before, and records what happened."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Final

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Q
from django.http import Http404
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import User
from left4me.backups import actions as backups
from left4me.backups.models import Backup
from left4me.core.redis.rate_limit import RateLimited
from left4me.core.web.refusals import Refused
from left4me.schedules import permissions as schedule_permissions
from left4me.schedules.models import Action, Condition, Run
from livestate import actions as orders
from livestate import live
from livestate.models import Order
from livestate.orders import commands
from overlays.workshop_items import refresh
from servers import permissions
from servers.actions import interruptions, moves, request_on_host
from servers.actions import servers as power
from servers.actions.interruptions import Hold
from servers.models import Server

logger = logging.getLogger(__name__)

_LONGEST_REASON: Final = 300
_WARNED_BEFORE_MOVE: Final = 10


def carry_out_due(now: datetime) -> int:
    """Look at every run that waits; returns how many ended. A run that fails does not stop the others.

    Runs of bulk actions have their turns: `bulk_execution` looks at them.
    """
    waiting = Run.objects.waiting().filter(bulk=None)
    runs = list(waiting.select_related("server__host", "server__owner", "user").order_by("due_at", "pk"))
    if not runs:
        return 0
    servers = {run.server_id: run.server for run in runs}
    states = {state.server.pk: state for state in live.of_servers(list(servers.values()), now=now)}
    ended = 0
    for run in runs:
        ended += settle(run, states[run.server_id], now)
    return ended


def settle(run: Run, state: live.Live, now: datetime) -> bool:
    """Warn, wait, skip or act, as the time and the players ask for; returns whether the run has ended."""
    try:
        return _settle(run, state, now)
    except Exception:
        logger.exception("The run %s could not be carried out", run.pk)
        return end(run, Run.State.FAILED, _("Unexpected error. See the log of the worker."), now)


def _settle(run: Run, state: live.Live, now: datetime) -> bool:
    user = run.user
    # A run of left4me itself applies a game update.
    is_own = user is None and run.bulk_id is not None
    if not is_own and (user is None or not schedule_permissions.can_act(user, run.server, Action(run.action))):
        return end(run, Run.State.SKIPPED, _("The user who scheduled this can no longer operate the server."), now)
    if user is not None and Action(run.action).is_of_admins:
        return now >= run.due_at and _act_as_admin(run, user, now)
    if reason := _obstacle(run):
        return end(run, Run.State.SKIPPED, reason, now)
    if (hold := _hold(run)) is not None:
        # Whoever wants to interrupt a match says so on the page of its server: a run never does.
        is_patient = Condition(run.condition).waits and (run.wait_until is None or now < run.wait_until)
        if now < run.due_at or is_patient:
            return False
        return end(run, Run.State.SKIPPED, interruptions.describe(hold), now)
    if now < run.due_at:
        _warn(run, user, state, now)
        return False
    if run.condition == Condition.ALWAYS or _is_empty(state):
        return _act(run, user, now)
    if run.condition == Condition.SKIP:
        return end(run, Run.State.SKIPPED, _("Players were online."), now)
    if run.wait_until is None or now < run.wait_until:
        _warn(run, user, state, now)
        return False
    if run.condition == Condition.WAIT_RUN:
        return _act(run, user, now)
    return end(run, Run.State.SKIPPED, _("Players were online the whole time."), now)


def _obstacle(run: Run) -> str:
    """Why there is nothing to do on the server; empty if there is."""
    is_wanted = run.server.desired_state == Server.Desired.RUNNING
    if run.action in (Action.BACK_UP, Action.MOVE):
        return ""
    if run.action == Action.START:
        # One that gave up is still wanted, and a start brings it back.
        is_up = run.server.actual_state in (Server.State.RUNNING, Server.State.STARTING)
        return _("The server was already running.") if is_wanted and is_up else ""
    return "" if is_wanted else _("The server was stopped.")


def _hold(run: Run) -> Hold | None:
    """What the run would interrupt."""
    if run.action in (Action.START, Action.BACK_UP):
        return None
    if run.action == Action.COMMANDS and not commands.interrupts(Order.Kind.COMMAND, run.argument):
        return None
    return interruptions.of(run.server)


def _is_empty(state: live.Live) -> bool:
    """Whether nobody plays. A game that does not answer may have players, so it does not count as empty."""
    return state.kind in (live.Kind.OFF, live.Kind.IDLE)


def _act(run: Run, user: User | None, now: datetime) -> bool:
    """Do what the run is for, once, however many workers look at it."""
    try:
        with transaction.atomic():
            if not end(run, Run.State.STARTED, "", now):
                return False
            if run.action == Action.MAP:
                _order(run, user, Order.Kind.MAP, run.argument.strip())
            elif run.action == Action.COMMANDS:
                for line in filter(None, map(str.strip, run.argument.splitlines())):
                    _order(run, user, Order.Kind.COMMAND, line)
            elif run.action == Action.BACK_UP:
                backup = backups.request(target=run.server, by=user, reason=Backup.Reason.SCHEDULED)
                Run.objects.filter(pk=run.pk).update(job=backup.job)
            elif run.action == Action.MOVE and run.bulk is not None and run.bulk.to_host is not None:
                job = moves.request_move(
                    server=run.server, target=run.bulk.to_host, by=user, warn_seconds=_WARNED_BEFORE_MOVE
                )
                Run.objects.filter(pk=run.pk).update(job=job)
            else:
                job = power.request(server=run.server, operation=run.action, by=user)
                Run.objects.filter(pk=run.pk).update(job=job)
    except (Refused, PermissionDenied, Http404, ValidationError, RateLimited) as fault:
        return end(run, Run.State.FAILED, str(fault), now)
    return True


def _act_as_admin(run: Run, user: User, now: datetime) -> bool:
    """Do what works on a host or on everything, without regard to the players of the server."""
    if not permissions.can_operate_host(user):
        return end(run, Run.State.SKIPPED, _("The user who scheduled this is no longer an admin."), now)
    try:
        with transaction.atomic():
            if not end(run, Run.State.STARTED, "", now):
                return False
            if run.action == Action.UPDATE_GAME:
                job = request_on_host(host=run.server.host, operation="install", by=user)
            else:
                job = refresh.request_refresh(by=user)
            Run.objects.filter(pk=run.pk).update(job=job)
    except Refused as fault:
        return end(run, Run.State.FAILED, str(fault), now)
    return True


def _order(run: Run, user: User | None, kind: str, value: str) -> None:
    orders.give_order(server=run.server, by=user, kind=kind, value=value, is_scheduled=True)


def _warn(run: Run, user: User | None, state: live.Live, now: datetime) -> None:
    """Tell the players how many minutes are left, once for each number of minutes in the schedule."""
    acts_at = run.acts_at
    if acts_at is None or state.kind is not live.Kind.PLAYED:
        return
    passed = [minutes for minutes in run.warn_minutes if acts_at - timedelta(minutes=minutes) <= now]
    if not passed or (run.warned_minutes is not None and min(passed) >= run.warned_minutes):
        return
    minutes = min(passed)
    untold = Q(warned_minutes=None) | Q(warned_minutes__gt=minutes)
    if not Run.objects.waiting().filter(untold, pk=run.pk).update(warned_minutes=minutes):
        return
    try:
        _order(run, user, Order.Kind.SAY, _warning(run, minutes))
    except (Refused, PermissionDenied, Http404) as fault:
        logger.info("The players of server %s could not be warned: %s", run.server_id, fault)


def _warning(run: Run, minutes: int) -> str:
    match run.action:
        case Action.RESTART:
            text = ngettext("Server restarts in %d minute.", "Server restarts in %d minutes.", minutes)
        case Action.STOP:
            text = ngettext("Server stops in %d minute.", "Server stops in %d minutes.", minutes)
        case Action.MAP:
            text = ngettext("The map changes in %d minute.", "The map changes in %d minutes.", minutes)
        case _:
            text = ngettext("Maintenance in %d minute.", "Maintenance in %d minutes.", minutes)
    return text % minutes


def end(run: Run, state: Run.State, reason: str, now: datetime) -> bool:
    """End a run that waits; returns whether this call did, because another worker may have been faster."""
    changes = {"state": state, "reason": reason[:_LONGEST_REASON], "ended_at": now}
    return bool(Run.objects.waiting().filter(pk=run.pk).update(**changes))
