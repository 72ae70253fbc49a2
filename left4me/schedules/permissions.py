"""Permissions on schedules: their owner and admins manage them, and each target must be theirs to act on."""

from __future__ import annotations

from django.http import Http404
from django.utils.translation import gettext as _

from accounts.models import User
from left4me.schedules.models import Action, Run, Schedule
from servers import permissions
from servers.models import Blueprint, Server


def managed(user: User, pk: int) -> Schedule:
    """The schedule. Raises Http404 for users who may not manage it, so that they do not learn that it exists."""
    rows = Schedule.objects.of(user).select_related("owner", "server", "blueprint")
    schedule = rows.filter(pk=pk).first()
    if schedule is None or not user.is_active:
        raise Http404(_("There is no such schedule."))
    return schedule


def can_act(user: User, server: Server, action: Action) -> bool:
    """Whether the user may do on the server, by hand too, what a schedule does."""
    may = permissions.can_edit_server if action.needs_change else permissions.can_operate_server
    return may(user, server)


def check_target(user: User, *, action: Action, server: Server | None, blueprint: Blueprint | None) -> None:
    """Raise Http404 or PermissionDenied unless the user may do what the schedule is for."""
    if server is not None and action.needs_change:
        permissions.check_can_edit_server(user, server)
    elif server is not None:
        permissions.check_can_operate_server(user, server)
    if blueprint is not None:
        permissions.check_can_see_blueprint(user, blueprint)


def run_to_cancel(user: User, server: Server, pk: int) -> Run:
    """A run of this server. Whoever runs the server may cancel it. Raises Http404 and PermissionDenied."""
    permissions.check_can_operate_server(user, server)
    run = Run.objects.filter(server=server, pk=pk).first()
    if run is None:
        raise Http404(_("There is no such run."))
    return run
