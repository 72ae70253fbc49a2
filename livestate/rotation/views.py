"""The tab with the maps of a server: what comes next, queue, rotation and votes; and the rotation of a blueprint."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.models import User
from accounts.permissions import signed_in
from left4me.core.web import forms, notices
from left4me.core.web.refusals import Refused
from livestate.rotation import actions, rotations, shown, votes
from livestate.rotation.entries import Kind, Maps
from livestate.rotation.forms import EntryForm, RotationForm
from livestate.rotation.models import Rotation
from servers import lookups, permissions
from servers.blueprints import maps
from servers.models import Blueprint, Server
from servers.views import server_page

Result = TypeVar("Result")


@require_safe
def of_server(request: HttpRequest, pk: int) -> HttpResponse:
    return _server_page(request, lookups.server_or_404(signed_in(request), pk))


@require_safe
def of_blueprint(request: HttpRequest, pk: int) -> HttpResponse:
    return _blueprint_page(request, lookups.blueprint_to_edit(signed_in(request), pk))


@require_POST
def queue(request: HttpRequest, pk: int) -> HttpResponse:
    """Change what is played before the rotation goes on."""
    user = signed_in(request)
    server = lookups.server_to_operate(user, pk)
    listed = [entry.code for entry in actions.state_of(server).queued]
    _try(request, lambda: actions.set_queue(server=server, codes=_edited(request, listed), by=user, request=request))
    return redirect("rotation:of_server", pk)


@require_POST
def next_(request: HttpRequest, pk: int) -> HttpResponse:
    """Cancel the announced change, or change at once."""
    user = signed_in(request)
    server = lookups.server_to_operate(user, pk)
    if request.POST.get("operation") == "now":
        entry = _try(request, lambda: actions.change_now(server=server, by=user, request=request))
        if entry is not None:
            title = entry.called(actions.chapters_of(server))
            messages.success(request, _("The game changes to %(what)s.") % {"what": title})
    else:
        _try(request, lambda: actions.cancel(server=server, by=user, request=request))
    return redirect("rotation:of_server", pk)


@require_POST
def rotation_of_server(request: HttpRequest, pk: int) -> HttpResponse:
    """Change the rotation of a server. Its first change makes a copy of that of its blueprint."""
    user = signed_in(request)
    server = lookups.server_to_edit(user, pk)
    form, status = _change_rotation(request, server, rotations.of_server(server), user)
    return _server_page(request, server, form=form, status=status) if form else redirect("rotation:of_server", pk)


@require_POST
def rotation_of_blueprint(request: HttpRequest, pk: int) -> HttpResponse:
    user = signed_in(request)
    blueprint = lookups.blueprint_to_edit(user, pk)
    form, status = _change_rotation(request, blueprint, _own(blueprint), user)
    if form:
        return _blueprint_page(request, blueprint, form=form, status=status)
    return redirect("rotation:of_blueprint", pk)


def _server_page(
    request: HttpRequest, server: Server, *, form: RotationForm | None = None, status: int = 200
) -> HttpResponse:
    user, now = signed_in(request), timezone.now()
    overview = shown.of_server(server, now=now)
    context = {
        **server_page.frame(request, server, tab="maps"),
        "overview": overview,
        "rotation": overview.rotation,
        "listed": overview.listed,
        "votes": votes.of_server(server, overview.maps.chapters, now=now),
        "may_edit": permissions.can_edit_server(user, server),
        "may_operate": permissions.can_operate_server(user, server),
        "queue_form": EntryForm(chapters=overview.maps.chapters, id_prefix="queue"),
        "entry_form": EntryForm(chapters=overview.maps.chapters, id_prefix="rotation"),
        "form": form or RotationForm(instance=overview.rotation),
        "action": reverse("rotation:rotation_of_server", args=[server.pk]),
    }
    partial = "#now" if request.htmx and request.method == "GET" else ""  # type: ignore[attr-defined]
    return render(request, f"rotation/maps.html{partial}", context, status=status)


def _blueprint_page(
    request: HttpRequest, blueprint: Blueprint, *, form: RotationForm | None = None, status: int = 200
) -> HttpResponse:
    rotation = _own(blueprint)
    chapters = actions.chapters_of(blueprint)
    context = {
        "blueprint": blueprint,
        "rotation": rotation,
        "listed": shown.shown(rotation.listed if rotation else [], Maps(chapters, None)),
        "may_edit": True,
        "entry_form": EntryForm(chapters=chapters, id_prefix="rotation"),
        "form": form or RotationForm(instance=rotation),
        "action": reverse("rotation:rotation_of_blueprint", args=[blueprint.pk]),
    }
    return render(request, "rotation/blueprint.html", context, status=status)


def _change_rotation(
    request: HttpRequest, of: Server | Blueprint, rotation: Rotation | None, user: User
) -> tuple[RotationForm | None, int]:
    """Carry out what was asked for; returns the form of the settings with its status if it cannot be saved."""
    operation = request.POST.get("operation", "")
    if operation == "save":
        form = RotationForm(request.POST)
        values = form.cleaned_data if form.is_valid() else {}
        saved, status = forms.submit(form, lambda: actions.set_rotation(of=of, by=user, request=request, **values))
        if saved is None:
            return form, status
        messages.success(request, _("Saved."))
    elif operation == "remove":
        _try(request, lambda: actions.remove_rotation(of=of, by=user, request=request))
    else:
        listed = [entry.code for entry in rotation.listed] if rotation else []
        if operation == "all":
            found = maps.grouped(actions.chapters_of(of))
            codes = [f"{Kind.CAMPAIGN}:{chapters[0].map}" for campaign, chapters in found if campaign]
            listed += [code for code in codes if code not in listed]
        _try(request, lambda: actions.set_rotation(of=of, by=user, codes=_edited(request, listed), request=request))
    return None, 200


def _own(blueprint: Blueprint) -> Rotation | None:
    return Rotation.objects.filter(blueprint=blueprint).first()


def _edited(request: HttpRequest, listed: list[str]) -> list[str]:
    """The list after the change that a button stands for. Raises Refused if the list is not the one it was shown with.

    `entry` is added; `take`, `up` and `down` name a place in the list and what is there, such as `2,map:c1m1_hotel`.
    """
    codes = list(listed)
    if entry := request.POST.get("entry"):
        codes.append(entry)
    if request.POST.get("operation") == "clear":
        codes.clear()
    for name in ("take", "up", "down"):
        if not (value := request.POST.get(name)):
            continue
        number, _comma, code = value.partition(",")
        place = int(number) if number.isascii() and number.isdigit() and len(number) < 5 else len(codes)
        if place >= len(codes) or codes[place] != code:
            raise Refused(_("The list has changed in the meantime. Look at it again."))
        codes.pop(place)
        if name != "take":
            codes.insert(max(0, place + (1 if name == "down" else -1)), code)
    return codes


def _try(request: HttpRequest, change: Callable[[], Result]) -> Result | None:
    try:
        return change()
    except Refused as refusal:
        notices.refuse(request, refusal)
    except ValidationError as fault:
        messages.error(request, " ".join(fault.messages))
    return None
