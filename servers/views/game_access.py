"""Pages of admins, reserved slots and whitelist: a tab of each server, and a page of each blueprint."""

from __future__ import annotations

from collections.abc import Mapping

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from accounts.permissions import signed_in
from left4me.core.web import forms as lib_forms
from overlays import paths
from servers import actions, lookups, permissions
from servers.forms import GamePersonForm, GameRulesForm
from servers.game_access import admins_file, roster
from servers.models import FLAGS, Blueprint, GameAccess, GameAccessState, GamePerson, Server
from servers.views import server_page


@require_http_methods(["GET", "HEAD", "POST"])
def of_server(request: HttpRequest, pk: int) -> HttpResponse:
    """The tab with the people of a server's game and where each comes from; its owner changes its own list."""
    user = signed_in(request)
    server = (lookups.server_to_edit if request.method == "POST" else lookups.server_to_operate)(user, pk)
    changed = _submit(request, server)
    if changed.redirect:
        return redirect("servers:admins", server.pk)
    whole = roster.of_one(server, now=timezone.now())
    context = {
        **server_page.frame(request, server, tab="admins"),
        **changed.context,
        **_plugins(server.blueprint),
        "roster": whole,
        "has_nobody": whole.rules.whitelist and not whole.steam_ids,
        "state": GameAccessState.objects.filter(server=server).first(),
        "may_change": permissions.can_edit_server(user, server),
    }
    partial = "#roster" if request.htmx and request.method == "GET" else ""  # type: ignore[attr-defined]
    return render(request, f"servers/admins.html{partial}", context, status=changed.status)


@require_http_methods(["GET", "HEAD", "POST"])
def of_blueprint(request: HttpRequest, pk: int) -> HttpResponse:
    user = signed_in(request)
    blueprint = lookups.blueprint_to_edit(user, pk)
    changed = _submit(request, blueprint)
    if changed.redirect:
        return redirect("servers:blueprint_admins", blueprint.pk)
    context = {"blueprint": blueprint, **changed.context, **_plugins(blueprint), "may_change": True}
    return render(request, "servers/blueprint_admins.html", context, status=changed.status)


@require_http_methods(["GET", "HEAD", "POST"])
def person_of_server(request: HttpRequest, pk: int, person_pk: int) -> HttpResponse:
    server = lookups.server_to_edit(signed_in(request), pk)
    return _edit(request, server, person_pk, {"server": server}, back=reverse("servers:admins", args=[server.pk]))


@require_http_methods(["GET", "HEAD", "POST"])
def person_of_blueprint(request: HttpRequest, pk: int, entry_pk: int) -> HttpResponse:
    blueprint = lookups.blueprint_to_edit(signed_in(request), pk)
    back = reverse("servers:blueprint_admins", args=[blueprint.pk])
    return _edit(request, blueprint, entry_pk, {"blueprint": blueprint}, back=back)


@require_POST
def remove_of_server(request: HttpRequest, pk: int, person_pk: int) -> HttpResponse:
    server = lookups.server_to_edit(signed_in(request), pk)
    _remove(request, server, person_pk)
    return redirect("servers:admins", server.pk)


@require_POST
def remove_of_blueprint(request: HttpRequest, pk: int, entry_pk: int) -> HttpResponse:
    blueprint = lookups.blueprint_to_edit(signed_in(request), pk)
    _remove(request, blueprint, entry_pk)
    return redirect("servers:blueprint_admins", blueprint.pk)


class _Changed:
    """What came of a request: the forms to show, or that something was saved."""

    def __init__(self, context: dict[str, object], status: int, *, redirect: bool) -> None:
        self.context, self.status, self.redirect = context, status, redirect


def _submit(request: HttpRequest, of: Server | Blueprint) -> _Changed:
    """Save the form of the rules or that of a person, whichever was sent."""
    user = signed_in(request)
    rules = GameAccess.objects.filter(**GameAccess.place(of)).first() or GameAccess()
    is_rules = "rules" in request.POST
    rules_form = GameRulesForm(request.POST if is_rules else None, instance=rules)
    person_form = GamePersonForm(request.POST if request.method == "POST" and not is_rules else None)
    saved: object
    if is_rules:
        values = rules_form.cleaned_data if rules_form.is_valid() else {}
        saved, status = lib_forms.submit(rules_form, lambda: actions.set_rules(of=of, by=user, **values))
    else:
        values = person_form.values() if person_form.is_valid() else {}
        saved, status = lib_forms.submit(person_form, lambda: actions.set_person(of=of, by=user, **values))
    if saved is not None:
        messages.success(request, _("Saved. Running servers take it over within seconds."))
    people = GamePerson.objects.of(of).select_related("user")
    context = {"rules_form": rules_form, "person_form": person_form, "people": people, "flags": FLAGS, "of": of}
    return _Changed(context, status, redirect=saved is not None)


def _edit(
    request: HttpRequest, of: Server | Blueprint, person_pk: int, context: Mapping[str, object], *, back: str
) -> HttpResponse:
    """The form of one person of a list."""
    row = _person(of, person_pk)
    form = GamePersonForm(request.POST if request.method == "POST" else None, instance=row)
    values = form.values() if form.is_valid() else {}
    saved, status = lib_forms.submit(form, lambda: actions.change_person(row=row, by=signed_in(request), **values))
    if saved is not None:
        messages.success(request, _("Saved. Running servers take it over within seconds."))
        return redirect(back)
    context = {**context, "person": row, "person_form": form, "back": back}
    return render(request, "servers/game_person.html", context, status=status)


def _remove(request: HttpRequest, of: Server | Blueprint, person_pk: int) -> None:
    actions.remove_person(row=_person(of, person_pk), by=signed_in(request))
    messages.success(request, _("Removed. Running servers take it over within seconds."))


def _person(of: Server | Blueprint, pk: int) -> GamePerson:
    return get_object_or_404(GamePerson.objects.of(of).select_related("user", "server", "blueprint"), pk=pk)


def _plugins(blueprint: Blueprint) -> dict[str, object]:
    layers = [paths.directory(layer) for layer in blueprint.layers]
    return {
        "has_sourcemod": admins_file.has_sourcemod(layers),
        "has_reserved_slots": admins_file.has_reserved_slots(layers),
        "has_own_file": bool(admins_file.inherited(layers).strip()),
    }
