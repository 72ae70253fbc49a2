"""Pages of schedules, and of what is planned for one server."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.models import User
from accounts.permissions import signed_in
from left4me.core.web import forms as lib_forms
from left4me.core.web import notices, undo
from left4me.core.web.refusals import Refused
from left4me.schedules import actions, permissions, recurrence
from left4me.schedules.forms import ScheduleForm, TimesForm
from left4me.schedules.models import BulkAction, Run, Schedule
from servers import lookups
from servers.views import server_page

_PREVIEWED = 5
# All that was chosen for a schedule.
_KEPT = (
    *("owner_id", "name", "server_id", "blueprint_id", "action", "argument", "cron", "time_zone"),
    *("warn_minutes", "condition", "wait_minutes", "catch_up", "is_enabled"),
)
_RECENT = 30
_RECENT_ACTIONS = 10


@require_safe
def list_(request: HttpRequest) -> HttpResponse:
    rows = Schedule.objects.of(signed_in(request)).select_related("owner", "server", "blueprint")
    actions = BulkAction.objects.visible_to(signed_in(request)).select_related("user", "blueprint", "host")
    context = {"schedules": rows, "actions": actions[:_RECENT_ACTIONS]}
    return render(request, "schedules/list.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """The form of a new schedule; with `?server=ID`, of that server."""
    user = signed_in(request)
    given = request.GET.get("server", "")
    server = lookups.server_to_operate(user, int(given)) if given.isdecimal() and len(given) < 19 else None
    form = ScheduleForm(request.POST or None, user=user, server=server)
    schedule, status = lib_forms.submit(form, lambda: actions.create(owner=user, by=user, **form.given()))
    if schedule is not None:
        messages.success(request, _("Schedule created."))
        return redirect(schedule)
    return render(request, "schedules/edit.html", {"form": form}, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    user = signed_in(request)
    schedule = permissions.managed(user, pk)
    form = ScheduleForm(request.POST or None, user=user, schedule=schedule)
    saved, status = lib_forms.submit(form, lambda: actions.change(schedule=schedule, by=user, **form.given()))
    if saved is not None:
        messages.success(request, _("Schedule saved."))
        return redirect(saved)
    return render(request, "schedules/edit.html", {"form": form, "schedule": schedule}, status=status)


@require_safe
def preview(request: HttpRequest) -> HttpResponse:
    """The next times of a form that is being filled in, as a fragment."""
    form = TimesForm(request.GET)
    times = []
    if form.is_valid():
        given = form.cleaned_data
        times = recurrence.next_times(given["times"], given["time_zone"], after=timezone.now(), count=_PREVIEWED)
    zone = form.cleaned_data.get("time_zone", "UTC")
    return render(request, "schedules/_times.html", {"times": times, "zone": zone, "form": form})


@require_safe
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    schedule = permissions.managed(signed_in(request), pk)
    times = []
    if schedule.is_enabled:
        times = recurrence.next_times(schedule.cron, schedule.time_zone, after=timezone.now(), count=_PREVIEWED)
    context = {
        "schedule": schedule,
        "times": times,
        "zone": schedule.time_zone,
        "runs": schedule.runs.select_related("server", "job", "schedule")[:_RECENT],
    }
    return render(request, "schedules/detail.html", context)


@require_POST
def switch(request: HttpRequest, pk: int) -> HttpResponse:
    user = signed_in(request)
    schedule = permissions.managed(user, pk)
    is_on = request.POST.get("on") == "yes"
    actions.change(schedule=schedule, by=user, is_enabled=is_on)
    messages.success(request, _("Schedule turned on.") if is_on else _("Schedule turned off."))
    return redirect(schedule)


@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    user = signed_in(request)
    schedule = permissions.managed(user, pk)
    kept = {name: getattr(schedule, name) for name in _KEPT}
    actions.delete(schedule=schedule, by=user)
    notices.done(request, _("Schedule deleted."), undo=undo.offer("schedule", by=user, **kept))
    return redirect("schedules:list")


@undo.register("schedule")
def create_again(user: User, owner_id: int, **kept: Any) -> str:
    """Create a deleted schedule again; the list of its runs is not kept."""
    owner = User.objects.get(pk=owner_id)
    return actions.create(owner=owner, by=user, **kept).get_absolute_url()


@require_safe
def of_server(request: HttpRequest, pk: int) -> HttpResponse:
    """What is planned for one server, and what came of earlier runs."""
    server = lookups.server_to_operate(signed_in(request), pk)
    runs = Run.objects.filter(server=server).select_related("server", "job", "schedule", "bulk", "user")
    context = {
        **server_page.frame(request, server, tab="schedules"),
        "waiting": runs.waiting().order_by("due_at", "pk"),
        "runs": runs.exclude(state=Run.State.WAITING)[:_RECENT],
        "schedules": Schedule.objects.for_server(server).select_related("owner", "server", "blueprint"),
    }
    return render(request, "schedules/server.html", context)


@require_POST
def when_empty(request: HttpRequest, pk: int) -> HttpResponse:
    """Plan a restart or stop for the moment at which nobody plays."""
    user = signed_in(request)
    server = lookups.server_to_operate(user, pk)
    try:
        actions.plan_when_empty(server=server, action=request.POST.get("action", ""), by=user)
    except Refused as refusal:
        notices.refuse(request, refusal)
    else:
        messages.success(request, _("Scheduled. It runs as soon as no players are online."))
    return redirect("schedules:of_server", server.pk)


@require_POST
def cancel_run(request: HttpRequest, pk: int, run_pk: int) -> HttpResponse:
    user = signed_in(request)
    server = lookups.server_to_operate(user, pk)
    try:
        actions.cancel(run=permissions.run_to_cancel(user, server, run_pk), by=user)
    except Refused as refusal:
        notices.refuse(request, refusal)
    else:
        messages.success(request, _("Run cancelled."))
    return redirect("schedules:of_server", server.pk)
