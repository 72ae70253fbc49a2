"""Pages of blueprints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.contrib import messages
from django.core.exceptions import BadRequest, ValidationError
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.permissions import signed_in
from left4me.core.web import forms as lib_forms
from left4me.core.web import notices
from left4me.core.web.ids import parse_id
from overlays import attention
from servers import actions, lookups
from servers.actions import blueprint_yaml
from servers.blueprints import inspection, maps
from servers.forms import BlueprintForm, ImportForm
from servers.game_access import lists
from servers.models import Blueprint, StarterBlueprint
from servers.views import cfg_help, versions

PER_PAGE = 50
_FIELDS = ("name", "description", "arguments", "config", "overlays", "connect_ports", "allow_ptrace")


@require_safe
def blueprints(request: HttpRequest) -> HttpResponse:
    user = signed_in(request)
    search = request.GET.get("q", "").strip()
    rows = Blueprint.objects.visible_to(user).select_related("owner").counted()
    if search:
        rows = rows.filter(name__icontains=search)
    page = Paginator(rows, PER_PAGE).get_page(request.GET.get("page"))
    starters = StarterBlueprint.objects.filter(is_offered=True)
    context = {"page": page, "q": search, "starters": starters, "import_form": ImportForm()}
    return render(request, "servers/blueprints.html", context)


@require_safe
def blueprint(request: HttpRequest, pk: int) -> HttpResponse:
    user = signed_in(request)
    row = lookups.blueprint_or_404(user, pk)
    context = {
        "blueprint": row,
        "layers": attention.annotate(row.layers, user=user),
        **cfg_help.by_severity(inspection.findings(row)),
        "page": Paginator(row.servers.all(), PER_PAGE).get_page(request.GET.get("page")),
    }
    return render(request, "servers/blueprint.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def blueprint_new(request: HttpRequest) -> HttpResponse:
    """An empty form, or one filled from a template (`?starter=2`)."""
    user = signed_in(request)
    form = BlueprintForm(request.POST or None, owner=user, initial=_starter(request))
    row, status = _submit(form, lambda values: actions.create_blueprint(owner=user, by=user, **values))
    if row is not None:
        messages.success(request, _("Blueprint created. You can now create a server with it."))
        return redirect(row)
    return _edited(request, form, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
def blueprint_edit(request: HttpRequest, pk: int) -> HttpResponse:
    user = signed_in(request)
    row = lookups.blueprint_to_edit(user, pk)
    form = BlueprintForm(request.POST or None, instance=row, owner=row.owner)

    def update(values: dict[str, Any]) -> Blueprint:
        seen_version = form.cleaned_data["version"] or 0
        return actions.update_blueprint(blueprint=row, seen_version=seen_version, by=user, **values)

    saved, status = _submit(form, update)
    if saved is not None:
        text = _("Blueprint saved. Changes apply at the next restart of its servers.")
        notices.done(request, text, undo=versions.offer_undo(saved, by=user))
        return redirect(saved)
    return _edited(request, form, blueprint=row, status=status)


@require_POST
def blueprint_move(request: HttpRequest, pk: int) -> HttpResponse:
    """The up and down buttons of the blueprint's page, which work without JavaScript."""
    user = signed_in(request)
    row = lookups.blueprint_to_edit(user, pk)
    overlay, _comma, direction = request.POST.get("move", "").partition(",")
    try:
        actions.move_overlay(
            blueprint=row,
            seen_version=int(request.POST.get("version", "")),
            by=user,
            overlay=int(overlay),
            step={"up": -1, "down": 1}[direction],
        )
    except actions.Stale as fault:
        notices.refuse(request, fault)
    except (ValueError, KeyError):
        raise BadRequest from None
    return redirect(row)


@require_POST
def blueprint_clone(request: HttpRequest, pk: int) -> HttpResponse:
    user = signed_in(request)
    copy, left_out = actions.clone_blueprint(blueprint=lookups.blueprint_or_404(user, pk), by=user)
    if left_out:
        messages.warning(request, _("Not copied, because these overlays are private: %s.") % ", ".join(left_out))
    _tell_people(request, [person["name"] or person["steam_id"] for person in lists.content(copy)["people"]])
    messages.success(request, _("Blueprint copied."))
    return redirect(copy)


def _tell_people(request: HttpRequest, names: Sequence[str]) -> None:
    """Say who has rights in the games of a blueprint that came from elsewhere."""
    if names:
        messages.info(request, _("Listed for its games: %s. See “Admins in the game”.") % ", ".join(names))


@require_safe
def blueprint_export(request: HttpRequest, pk: int) -> HttpResponse:
    user = signed_in(request)
    row = lookups.blueprint_or_404(user, pk)
    name = slugify(row.name) or f"blueprint-{row.pk}"
    headers = {"Content-Disposition": f'attachment; filename="{name}.yaml"'}
    return HttpResponse(blueprint_yaml.dump(row), content_type="application/yaml; charset=utf-8", headers=headers)


@require_POST
def blueprint_import(request: HttpRequest) -> HttpResponse:
    user = signed_in(request)
    form = ImportForm(request.POST, request.FILES)
    if form.is_valid():
        try:
            made = blueprint_yaml.load(form.cleaned_data["file"], owner=user, by=user)
        except ValidationError as fault:
            form.add_error(None, fault)
        else:
            if made.made:
                messages.info(request, _("Overlays created; build them next: %s.") % ", ".join(made.made))
            if made.missing:
                messages.warning(request, _("Overlays not found and left out: %s.") % ", ".join(made.missing))
            if made.unknown_users:
                names = ", ".join(made.unknown_users)
                messages.warning(request, _("Users not found and left off its list of admins: %s.") % names)
            _tell_people(request, made.people)
            messages.success(request, _("Blueprint imported."))
            return redirect(made.blueprint)
    return render(request, "servers/import.html", {"import_form": form}, status=422)


@require_http_methods(["GET", "HEAD", "POST"])
def blueprint_delete(request: HttpRequest, pk: int) -> HttpResponse:
    user = signed_in(request)
    row = lookups.blueprint_to_edit(user, pk)
    linked, status = list(row.servers.values_list("pk", "name")), 200
    if request.method == "POST":
        try:
            actions.delete_blueprint(blueprint=row, by=user)
        except actions.InUse as fault:
            linked, status = fault.servers, 409
        else:
            messages.success(request, _("Blueprint “%s” deleted.") % row.name)
            return redirect("servers:blueprints")
    return render(request, "servers/blueprint_delete.html", {"blueprint": row, "linked": linked}, status=status)


def _submit(form: BlueprintForm, action: Callable[[dict[str, Any]], Blueprint]) -> tuple[Blueprint | None, int]:
    # Without JavaScript, moving an overlay posts the form too, which is then shown again and not checked.
    if form.rearranged:
        return None, 200
    # A pasted launch line is translated and shown first, so that nothing is lost.
    if form.is_bound:
        form.leave_out_refused()
        form.translate()
    if form.translated:
        return None, 422 if form.errors else 200
    return lib_forms.submit(form, lambda: action({name: form.cleaned_data[name] for name in _FIELDS}))


def _starter(request: HttpRequest) -> dict[str, str]:
    chosen = parse_id(request.GET.get("starter", "")) or 0
    starter = StarterBlueprint.objects.filter(pk=chosen, is_offered=True).first()
    if starter is None:
        return {}
    fields = ("name", "description", "arguments", "config")
    return {name: getattr(starter, name) for name in fields}


def _edited(
    request: HttpRequest, form: BlueprintForm, *, blueprint: Blueprint | None = None, status: int
) -> HttpResponse:
    """The form with its current values, what became of a pasted launch line, and the warnings about its lines."""
    arguments, config = form["arguments"].value() or "", form["config"].value() or ""
    findings = inspection.findings_of(arguments=str(arguments), config=str(config), layers=form.stack)
    context = {
        "form": form,
        "blueprint": blueprint,
        "start_map": maps.start_map(str(arguments)),
        "campaigns": maps.grouped(maps.of_layers(form.stack)),
        **cfg_help.by_severity(findings),
    }
    return render(request, "servers/blueprint_edit.html", context, status=status)
