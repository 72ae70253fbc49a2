"""Pages of overlays: list, creation, details, editing and deletion."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.permissions import signed_in
from left4me.core.web import forms as lib_forms
from left4me.core.web import notices
from overlays import actions, attention, lookups, paths, permissions
from overlays.campaigns import sources
from overlays.files import uploads
from overlays.forms import OverlayForm
from overlays.models import Overlay
from overlays.plugins import finder

PER_PAGE = 50


@require_safe
def list_(request: HttpRequest) -> HttpResponse:
    user = signed_in(request)
    search = request.GET.get("q", "").strip()
    kind = request.GET.get("kind", "")
    overlays = Overlay.objects.visible_to(user).select_related("owner").counted()
    if search:
        overlays = overlays.filter(name__icontains=search)
    if kind in Overlay.Kind.values:
        overlays = overlays.filter(kind=kind)
    page = Paginator(overlays, PER_PAGE).get_page(request.GET.get("page"))
    page.object_list = attention.annotate(list(page.object_list), user=user)
    context = {"page": page, "q": search, "kind": kind, "kinds": Overlay.Kind.choices, "filtered": search or kind}
    return render(request, "overlays/list.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    user = signed_in(request)
    form = OverlayForm(request.POST or None, by=user)

    def create() -> Overlay:
        values = form.cleaned_data
        return actions.create(
            name=values["name"],
            kind=values["kind"],
            owner=None if values.get("is_system") else user,
            by=user,
            expose_cfg=values["expose_cfg"],
            path=values.get("path", ""),
        )

    overlay, status = lib_forms.submit(form, create)
    if overlay is not None:
        messages.success(request, _("Overlay “%s” created. Add content.") % overlay.name)
        return redirect(overlay)
    return render(request, "overlays/edit.html", {"form": form}, status=status)


@require_safe
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    user = signed_in(request)
    overlay = lookups.overlay_or_404(user, pk)
    attention.annotate([overlay], user=user)
    context = {
        "overlay": overlay,
        "may_edit": permissions.can_edit_overlay(user, overlay),
        "sources": sources.of_overlay(overlay),
        "waiting": uploads.waiting(overlay) if permissions.can_edit_files(user, overlay) else [],
        "may_allow_programs": permissions.can_allow_programs(user),
        "has_plugins": finder.has_plugins([paths.directory(overlay)]),
        "waits_days": uploads.WAITS_FOR.days,
        # Blueprints are private: of those that use the overlay, the page lists only the ones visible to the user.
        "blueprints": overlay.blueprints.visible_to(user).select_related("owner"),
    }
    return render(request, "overlays/detail.html", context)


@require_safe
def plugins(request: HttpRequest, pk: int) -> HttpResponse:
    """The SourceMod plugins in an overlay: what each says of itself, and whether SourceMod would load it."""
    overlay = lookups.overlay_with_files(signed_in(request), pk)
    found = [plugin.facts() for plugin in finder.find([paths.directory(overlay)])]
    return render(request, "overlays/plugins.html", {"overlay": overlay, "plugins": found})


@require_POST
def set_link(request: HttpRequest, pk: int, addon_id: int) -> HttpResponse:
    """Set where players get a file of the overlay."""
    user = signed_in(request)
    addon = lookups.addon_to_edit(user, pk, addon_id)
    try:
        actions.set_link(addon=addon, link=request.POST.get("link", ""), by=user)
    except ValidationError as fault:
        notices.refuse(request, fault)
    else:
        messages.success(request, _("Link saved.") if addon.link else _("Link removed."))
    return redirect(f"{reverse('overlays:detail', args=[pk])}#campaigns")


@require_POST
def allow_programs(request: HttpRequest, pk: int) -> HttpResponse:
    """Let servers start with the programs of the game that the overlay holds."""
    user = signed_in(request)
    overlay = lookups.overlay_or_404(user, pk)
    permissions.check_can_allow_programs(user)
    actions.allow_programs(overlay=overlay, by=user)
    messages.success(request, _("Programs allowed."))
    return redirect(overlay)


@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    user = signed_in(request)
    overlay = lookups.overlay_to_edit(user, pk)
    form = OverlayForm(request.POST or None, instance=overlay, by=user)

    def update() -> Overlay:
        values = form.cleaned_data
        return actions.update(
            overlay=overlay,
            seen_version=values["version"] or 0,
            by=user,
            name=values["name"],
            expose_cfg=values["expose_cfg"],
            path=values.get("path") or overlay.path,
        )

    saved, status = lib_forms.submit(form, update)
    if saved is not None:
        messages.success(request, _("Overlay saved."))
        return redirect(saved)
    return render(request, "overlays/edit.html", {"form": form, "overlay": overlay}, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    user = signed_in(request)
    overlay = lookups.overlay_to_edit(user, pk)
    used_by = actions.used_by(overlay)
    status = 200
    if request.method == "POST":
        try:
            actions.delete(overlay=overlay, by=user)
        except actions.InUse as fault:
            used_by, status = fault.blueprints, 409
        except actions.Refused as fault:
            notices.refuse(request, fault)
            return redirect(overlay)
        else:
            messages.success(request, _("Overlay “%s” deleted.") % overlay.name)
            return redirect("overlays:list")
    return render(request, "overlays/delete.html", {"overlay": overlay, "used_by": used_by}, status=status)
