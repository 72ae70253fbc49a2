"""Pages of actions on many servers: the plan, and what became of each server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.models import User
from accounts.permissions import signed_in
from left4me.core.web.ids import parse_id, parse_ids
from left4me.core.web.refusals import Refused
from left4me.core.web.request import is_fragment
from left4me.jobs.models import Job
from left4me.schedules import bulk, bulk_execution
from left4me.schedules.models import Action, BulkAction, Condition, Run
from livestate import live
from servers import lookups, permissions
from servers.models import Host

_RECENT = 5


class PlanForm(forms.Form):
    """What shall happen, when, and to how many servers at once."""

    action = forms.ChoiceField(
        label=gettext_lazy("Action"), choices=[(each.value, each.label) for each in bulk.ACTIONS]
    )
    when = forms.ChoiceField(
        label=gettext_lazy("When"),
        choices=[
            (Condition.ALWAYS.value, gettext_lazy("Now")),
            (Condition.WAIT_SKIP.value, gettext_lazy("When empty")),
        ],
    )
    which = forms.ChoiceField(
        label=gettext_lazy("Servers"),
        choices=[
            ("all", gettext_lazy("All of them")),
            ("changed", gettext_lazy("With changes to apply")),
        ],
    )
    at_once = forms.IntegerField(
        label=gettext_lazy("At once, at most"), min_value=1, max_value=bulk.MOST_AT_ONCE, localize=False
    )
    to_host = forms.ModelChoiceField(
        label=gettext_lazy("New host"), queryset=Host.objects.none(), required=False, empty_label=None
    )

    def __init__(self, *args: Any, target: bulk.Target, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        hosts = Host.objects.filter(is_enabled=True)
        if target.host is not None:
            hosts = hosts.exclude(pk=target.host.pk)
        self.fields["to_host"].queryset = hosts  # type: ignore[attr-defined]
        if not hosts.exists():
            actions = [(each.value, each.label) for each in bulk.ACTIONS if each is not Action.MOVE]
            self.fields["action"].choices = actions  # type: ignore[attr-defined]
        if not self.data.get("to_host") and (best := _best(hosts)) is not None:
            self.data = {**self.data, "to_host": str(best.pk)}

    @property
    def unused(self) -> tuple[str, ...]:
        """The fields that say nothing about the chosen action."""
        action = self.data.get("action")
        return (*(() if action == Action.RESTART else ("which",)), *(() if action == Action.MOVE else ("to_host",)))

    def given(self) -> dict[str, Any]:
        """The keyword arguments of `bulk.start` beside its target."""
        chosen = self.cleaned_data
        return {
            "action": chosen["action"],
            "condition": chosen["when"],
            "at_once": chosen["at_once"],
            "only_changed": chosen["which"] == "changed" and chosen["action"] == Action.RESTART,
            "to_host": chosen["to_host"] if chosen["action"] == Action.MOVE else None,
        }


def _best(hosts: Iterable[Host]) -> Host | None:
    """The host to offer first: one that can take servers now."""
    now = timezone.now()
    return min(hosts, key=lambda host: bool(host.trouble(now)) or not host.game_version, default=None)


@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """The plan for the servers that the address names; a POST carries it out."""
    user, now = signed_in(request), timezone.now()
    given = request.POST if request.method == "POST" else request.GET
    target = bulk.target(
        user,
        blueprint=parse_id(given.get("blueprint", "")),
        host=parse_id(given.get("host", "")),
        ids=parse_ids(given.getlist("server")),
    )
    usual = {
        "action": Action.RESTART.value,
        "when": Condition.ALWAYS.value,
        "which": "changed" if target.blueprint else "all",
        "at_once": "2",
        "to_host": "",
    }
    form = PlanForm({name: given.get(name, value) for name, value in usual.items()}, target=target)
    status = 200
    if not form.is_valid():
        status = 422
    elif request.method == "POST":
        try:
            return redirect(bulk.start(target=target, by=user, **form.given()))
        except Refused as refusal:
            messages.error(request, str(refusal))
            status = 409
    planned = _plan(target, form, user, now) if form.is_valid() else []
    included = [each for each in planned if each.is_included]
    context = {
        "form": form,
        "target": target,
        "planned": planned,
        "included": len(included),
        "waiting": sum(each.verdict is bulk.Verdict.WAITS for each in included),
        "players": sum(each.players for each in included if each.verdict is bulk.Verdict.ACTS),
        "action": Action(form.cleaned_data["action"]) if form.is_valid() else None,
    }
    return render(request, "schedules/bulk_new.html", context, status=status)


@require_safe
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    """What became of each server; it follows by itself while the action is active."""
    user = signed_in(request)
    each = bulk.visible(user, pk)
    template = "schedules/bulk.html#state" if is_fragment(request) else "schedules/bulk.html"
    return render(request, template, _state(each, user))


@require_POST
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    user = signed_in(request)
    each = bulk.visible(user, pk)
    try:
        bulk.cancel(bulk=each, by=user)
    except Refused as refusal:
        messages.warning(request, str(refusal))
    else:
        messages.success(request, _("Cancelled. Servers that were begun are finished."))
    return redirect(each)


@require_safe
def of_host(request: HttpRequest, pk: int) -> HttpResponse:
    """The latest actions on the servers of a host, and which of them wait for its update: a part of its page."""
    user = signed_in(request)
    host = lookups.host_to_operate(user, pk)
    rows = BulkAction.objects.filter(host=host).select_related("user", "blueprint", "host")
    if not is_fragment(request):
        return redirect(host)
    others = Host.objects.filter(is_enabled=True).exclude(pk=host.pk)
    context = {"host": host, "actions": rows[:_RECENT], "has_other_hosts": others.exists()}
    return render(request, "schedules/_bulk_of_host.html", context)


def _plan(target: bulk.Target, form: PlanForm, user: User, now: Any) -> list[bulk.Planned]:
    given = form.given()
    given.pop("at_once")
    return bulk.plan(target.servers(user), by=user, now=now, **given)


def _state(each: BulkAction, user: User) -> dict[str, Any]:
    now = timezone.now()
    runs = bulk_execution.runs_of(each)
    failed = bulk_execution.failures(each, runs)
    notes = _notes(each, runs, now)
    undone = (Run.State.WAITING, Run.State.CANCELLED)
    done = [run for run in runs if run.state not in undone and not (run.job and run.job.is_live)]
    may_roll_back = each.is_update and each.state == BulkAction.State.STOPPED and permissions.can_operate_host(user)
    return {
        "bulk": each,
        "rows": [
            {"run": run, "note": notes.get(run.pk, run.reason), "failure": failed.get(run.pk, "")} for run in runs
        ],
        "total": len(runs),
        "done": len(done),
        "failed": len(failed),
        "failed_servers": [run.server_id for run in runs if run.pk in failed],
        "offers_roll_back": may_roll_back and each.host is not None and each.host.game_version == each.game_version,
        "was_rolled_back": may_roll_back and each.host is not None and each.host.game_version != each.game_version,
        "game_job": Job.objects.live().on_host(each.host.name).filter(resource="game").first() if each.host else None,
    }


def _notes(each: BulkAction, runs: list[Run], now: Any) -> dict[int, str]:
    """What the runs that wait are waiting for, by their ids."""
    waiting = [run for run in runs if run.state == Run.State.WAITING]
    states = {state.server.pk: state for state in live.of_servers([run.server for run in waiting], now=now)}
    return {run.pk: _note(each, run, states[run.server_id], now) for run in waiting}


def _note(each: BulkAction, run: Run, state: live.Live, now: Any) -> str:
    if now < run.due_at:
        return _("Its time has not come yet.")
    if each.waits_until_empty and state.kind not in (live.Kind.OFF, live.Kind.IDLE):
        return _("Waits until it is empty. %(note)s") % {"note": bulk.players_in_words(state)}
    return _("Waits for its turn.")
