"""Carries out actions on many servers: a few at a time, in their order, each with its result."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.utils.translation import gettext as _

from left4me.jobs.models import Job
from left4me.schedules import execution
from left4me.schedules.models import Action, BulkAction, Run
from livestate import live
from servers.actions import moves
from servers.models import Server, StateChange
from servers.state import game_updates

logger = logging.getLogger(__name__)

# A server with a new build of the game keeps its turn for so long after its restart: a crash within it is a failure.
WATCHED: Final = timedelta(seconds=60)

_FAILED: Final = (Server.State.CRASHED, Server.State.GAVE_UP)


def advance_all(now: datetime) -> None:
    """Give the servers of every active action their turns. An action that fails does not stop the others."""
    for each in BulkAction.objects.active().select_related("host"):
        try:
            _advance(each, now)
        except Exception:
            logger.exception("The bulk action %s could not be carried out", each.pk)


def runs_of(each: BulkAction) -> list[Run]:
    """Its runs in their order, with their servers and jobs."""
    rows = each.runs.select_related("bulk__to_host", "server__host", "server__owner", "user", "job", "schedule")
    runs = list(rows.order_by("position", "pk"))
    if each.action == Action.MOVE:
        _take_second_jobs(runs)
    return runs


def _take_second_jobs(runs: Sequence[Run]) -> None:
    """A move consists of two jobs: once there is the second one, of the new host, it stands for the run."""
    begun = {run.server.resource: run for run in runs if run.job is not None}
    if not begun:
        return
    first = min(run.job_id for run in begun.values() if run.job_id is not None)
    later = Job.objects.filter(operation=moves.OPERATION, resource__in=begun, pk__gte=first).order_by("pk")
    for job in later:
        run = begun[job.resource]
        if run.job_id is not None and job.params.get("to") == (
            run.bulk and run.bulk.to_host and run.bulk.to_host.name
        ):
            run.job = job


def failures(each: BulkAction, runs: Sequence[Run]) -> dict[int, str]:
    """Why servers failed, by the ids of their runs, in their order."""
    crashes = _crashes(each, runs)
    return {run.pk: reason for run in runs if (reason := _failure(run, crashes.get(run.server_id)))}


def _advance(each: BulkAction, now: datetime) -> None:
    runs = runs_of(each)
    failed = failures(each, runs)
    if each.is_update and failed:
        first = next(run for run in runs if run.pk in failed)
        _stop(each, first, failed[first.pk], now)
        return
    if each.is_update and each.host is not None and each.host.game_version != each.game_version:
        _cancel(each, now)
        return
    waiting = [run for run in runs if run.state == Run.State.WAITING and not _is_done_already(each, run, now)]
    under_way = sum(_is_under_way(each, run, now) for run in runs)
    if not waiting and not under_way:
        _finish(each, runs, now)
        return
    states = {state.server.pk: state for state in live.of_servers([run.server for run in waiting], now=now)}
    for run in waiting:
        # Before its time comes, the players are warned.
        if now < run.due_at or under_way < each.at_once:
            under_way += execution.settle(run, states[run.server_id], now)


def _is_done_already(each: BulkAction, run: Run, now: datetime) -> bool:
    """Whether somebody restarted the server with the update before its turn; its run then ends."""
    if not each.is_update or run.server.game_version != each.game_version:
        return False
    return execution.end(run, Run.State.SKIPPED, _("It runs the update already."), now)


def _is_under_way(each: BulkAction, run: Run, now: datetime) -> bool:
    job = run.job
    if run.state != Run.State.STARTED or job is None:
        return False
    watched_until = job.finished_at + WATCHED if each.is_update and job.finished_at else None
    return job.is_live or (watched_until is not None and now < watched_until)


def _failure(run: Run, crash: StateChange | None) -> str:
    if run.state == Run.State.FAILED:
        return run.reason
    job = run.job
    if run.state != Run.State.STARTED or job is None:
        return ""
    if job.state == Job.State.FAILED:
        return job.error
    return _("It crashed after its restart. %(detail)s") % {"detail": crash.detail} if crash else ""


def _crashes(each: BulkAction, runs: Sequence[Run]) -> Mapping[int, StateChange]:
    """The first crash of each server after its restart for a game update, while it was watched."""
    since = {
        run.server_id: run.job.finished_at
        for run in runs
        if each.is_update and run.state == Run.State.STARTED and run.job is not None and run.job.finished_at
    }
    if not since:
        return {}
    rows = StateChange.objects.filter(server__in=since, state__in=_FAILED, at__gte=min(since.values()))
    found: dict[int, StateChange] = {}
    for row in rows.order_by("at", "pk"):
        if since[row.server_id] <= row.at <= since[row.server_id] + WATCHED:
            found.setdefault(row.server_id, row)
    return found


@transaction.atomic
def _stop(each: BulkAction, run: Run, why: str, now: datetime) -> None:
    """Leave the other servers as they are, because this one failed."""
    text = _("“%(name)s” failed: %(why)s") % {"name": run.server.name, "why": why.partition("\n")[0]}
    if not _end(each, BulkAction.State.STOPPED, text, now):
        return
    each.runs.waiting().update(
        state=Run.State.CANCELLED, reason=_("Left as it is, because another server failed."), ended_at=now
    )
    if each.host is not None:
        build = game_updates.build_of(each.game_version)
        game_updates.was_stopped(each.host, build=build, why=text, path=each.get_absolute_url(), now=now)


@transaction.atomic
def _cancel(each: BulkAction, now: datetime) -> None:
    """End an update whose version is no longer the one that servers start with."""
    reason = _("Another version of the game was made current.")
    if _end(each, BulkAction.State.CANCELLED, reason, now):
        each.runs.waiting().update(state=Run.State.CANCELLED, reason=reason, ended_at=now)


@transaction.atomic
def _finish(each: BulkAction, runs: Sequence[Run], now: datetime) -> None:
    if not _end(each, BulkAction.State.DONE, "", now):
        return
    if each.is_update and each.host is not None and any(run.state == Run.State.STARTED for run in runs):
        build = game_updates.build_of(each.game_version)
        game_updates.was_applied(each.host, build=build, path=each.get_absolute_url(), now=now)


def _end(each: BulkAction, state: BulkAction.State, reason: str, now: datetime) -> bool:
    """End an active action; returns whether this call did, because another worker may have been faster."""
    changes = {"state": state, "reason": reason[:300], "ended_at": now}
    return bool(BulkAction.objects.active().filter(pk=each.pk).update(**changes))
