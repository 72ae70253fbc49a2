"""Creating, changing and deleting schedules, and planning an action for when a server is empty."""

from __future__ import annotations

from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from left4me.audit import record
from left4me.core import rows
from left4me.core.web.refusals import Cure, Refused
from left4me.schedules import permissions
from left4me.schedules.models import Action, Condition, Run, Schedule
from servers import permissions as server_permissions
from servers.blueprints.checks import console
from servers.models import Server

MOST_PER_USER: Final = 200
# What can wait for an empty server.
WHEN_EMPTY: Final = (Action.RESTART, Action.STOP)


@transaction.atomic
def create(*, owner: User, by: User, **fields: Any) -> Schedule:
    """Create a schedule. Raises ValidationError by field, Refused, Http404 and PermissionDenied."""
    rows.take_turns(owner.pk)
    if Schedule.objects.filter(owner=owner).count() >= MOST_PER_USER:
        raise Refused(
            _("You already have %d schedules, the most that one user can have. Delete one first.") % MOST_PER_USER,
            cure=Cure(label=_("Show schedules"), url=reverse("schedules:list")),
        )
    schedule = Schedule(owner=owner, **fields)
    _save(schedule, by)
    record.write(action="schedule.create", by=by, target=schedule.resource, **_details(schedule))
    return schedule


@transaction.atomic
def change(*, schedule: Schedule, by: User, **fields: Any) -> Schedule:
    """Change a schedule. Runs that wait are planned anew. Raises as `create` does, and rows.Gone."""
    current = rows.still_there(Schedule.objects.select_for_update(of=("self",)), schedule)
    for name, value in fields.items():
        setattr(current, name, value)
    current.runs.waiting().delete()
    _save(current, by)
    record.write(action="schedule.update", by=by, target=current.resource, **_details(current))
    return current


@transaction.atomic
def delete(*, schedule: Schedule, by: User) -> None:
    record.write(action="schedule.delete", by=by, target=schedule.resource, **_details(schedule))
    schedule.delete()


@transaction.atomic
def plan_when_empty(*, server: Server, action: str, by: User) -> Run:
    """Plan a restart or stop for the moment at which nobody plays. An equal plan is returned as it is.

    Raises Refused, Http404 and PermissionDenied.
    """
    server_permissions.check_can_operate_server(by, server)
    if action not in WHEN_EMPTY:
        raise Refused(_("Only Restart and Stop can wait until the server is empty."))
    if server.desired_state != Server.Desired.RUNNING:
        raise Refused(
            _("The server is stopped."),
            cure=Cure(label=_("Start"), url=reverse("servers:action", args=[server.pk]), operation="start"),
        )
    planned = Run.objects.waiting().planned_by_hand().filter(server=server, action=action)
    if existing := planned.first():
        return existing
    try:
        with transaction.atomic():
            run = Run.objects.create(
                server=server, user=by, action=action, condition=Condition.WAIT_SKIP, due_at=timezone.now()
            )
    except IntegrityError:
        return planned.get()
    record.write(action=f"server.{action}_when_empty", by=by, target=server.resource)
    return run


@transaction.atomic
def cancel(*, run: Run, by: User) -> None:
    """Cancel a run that waits. Raises Refused if it no longer waits."""
    changes = {"state": Run.State.CANCELLED, "ended_at": timezone.now()}
    if not Run.objects.waiting().filter(pk=run.pk).update(**changes):
        raise Refused(_("This run is no longer waiting."))
    record.write(action="schedule.cancel_run", by=by, target=run.server.resource, operation=run.action)


def _save(schedule: Schedule, by: User) -> None:
    _check_action(schedule)
    if schedule.action in Action.values:
        action = Action(schedule.action)
        permissions.check_target(by, action=action, server=schedule.server, blueprint=schedule.blueprint)
    _check_commands(schedule)
    schedule.warn_minutes = sorted(set(schedule.warn_minutes), reverse=True)
    rows.clean(schedule)
    schedule.plan_from(timezone.now())
    schedule.save()


def _check_action(schedule: Schedule) -> None:
    if schedule.action in Action.values and not Action(schedule.action).is_of_schedules:
        raise ValidationError({"action": _("This cannot be repeated. Choose another action.")})
    if schedule.action in Action.values and Action(schedule.action).is_of_admins and not schedule.owner.is_admin:
        raise ValidationError({"action": _("Only admins can schedule this.")})


def _check_commands(schedule: Schedule) -> None:
    if schedule.action != Action.COMMANDS:
        return
    for line in filter(None, map(str.strip, schedule.argument.splitlines())):
        if reason := console.refusal(line):
            raise ValidationError({"argument": f"{line}: {reason}"})


def _details(schedule: Schedule) -> dict[str, Any]:
    return {"name": schedule.name, "operation": schedule.action, "cron": schedule.cron, "zone": schedule.time_zone}
