"""Pages of an overlay's workshop items."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.permissions import signed_in
from left4me.core.web.ids import parse_ids
from left4me.jobs import actions as jobs
from overlays import builds, conflicts, lookups, permissions
from overlays.forms import AddItemsForm
from overlays.models import Overlay
from overlays.workshop_items import item_rows, membership
from overlays.workshop_items import refresh as items_refresh
from workshop import metadata, steam
from workshop.models import WorkshopItem


@require_http_methods(["GET", "HEAD", "POST"])
def items(request: HttpRequest, pk: int) -> HttpResponse:
    """The table of items. A POST previews the pasted items; with `confirm` it adds them."""
    user = signed_in(request)
    find = lookups.workshop_overlay_to_edit if request.method == "POST" else lookups.workshop_overlay
    overlay = find(user, pk)
    if request.method != "POST":
        return _page(request, overlay, form=AddItemsForm())
    form = AddItemsForm(request.POST)
    if not form.is_valid():
        return _page(request, overlay, form=form, status=422)
    try:
        with metadata.connect() as api:
            preview = membership.look_up(overlay=overlay, text=form.cleaned_data["input"], api=api)
        if "confirm" not in request.POST:
            return render(
                request, "overlays/items_preview.html", {"overlay": overlay, "form": form, "preview": preview}
            )
        follow = "follow" in request.POST
        added = membership.add(overlay=overlay, preview=preview, by=user, follow=follow, now=timezone.now())
    except (membership.InvalidInput, membership.NotAddable) as fault:
        return _page(request, overlay, form=_with_errors(form, str(fault)), status=422)
    except steam.SteamError as fault:
        return _page(request, overlay, form=_with_errors(form, str(fault)), status=502)
    except jobs.Refused as fault:
        return _page(request, overlay, form=_with_errors(form, str(fault)), status=409)
    if count := len(added.added):
        messages.success(
            request, ngettext("%(count)d item added.", "%(count)d items added.", count) % {"count": count}
        )
    else:
        messages.info(request, _("Nothing to add: these items are already in this overlay."))
    return redirect("overlays:items", overlay.pk)


@require_POST
def remove_items(request: HttpRequest, pk: int) -> HttpResponse:
    user = signed_in(request)
    overlay = lookups.workshop_overlay_to_edit(user, pk)
    steam_ids = parse_ids(request.POST.getlist("item"))
    count = membership.remove(overlay=overlay, steam_ids=steam_ids[: membership.MOST_ITEMS], by=user)
    if count:
        message = ngettext("%(count)d item removed.", "%(count)d items removed.", count) % {"count": count}
        messages.success(request, message)
    else:
        messages.warning(request, _("No items removed. Select the items to remove first."))
    return redirect("overlays:items", overlay.pk)


@require_POST
def unfollow_collection(request: HttpRequest, pk: int, collection_id: int) -> HttpResponse:
    user = signed_in(request)
    overlay = lookups.workshop_overlay_to_edit(user, pk)
    collection = get_object_or_404(overlay.collections, pk=collection_id)
    membership.unfollow(overlay=overlay, collection=collection, by=user, keep_items="keep" in request.POST)
    messages.success(request, _("Stopped syncing with the collection."))
    return redirect("overlays:items", overlay.pk)


@require_POST
def refresh(request: HttpRequest, pk: int) -> HttpResponse:
    """Refresh the overlay's items from Steam, then build. 400 if it has none, 502 if Steam does not answer."""
    user = signed_in(request)
    overlay = lookups.workshop_overlay_to_edit(user, pk)
    try:
        with metadata.connect() as api:
            items_refresh.refresh_overlay(overlay=overlay, by=user, api=api, now=timezone.now())
    except items_refresh.NothingToRefresh as fault:
        return _failed(request, overlay, str(fault), status=400)
    except steam.SteamError as fault:
        return _failed(request, overlay, _("Nothing was changed. %(reason)s.") % {"reason": fault}, status=502)
    except jobs.Refused as fault:
        return _failed(request, overlay, str(fault), status=409)
    messages.success(request, _("Checked Steam. Rebuilding…"))
    return redirect("overlays:items", overlay.pk)


@require_POST
def retry_item(request: HttpRequest, pk: int, steam_id: int) -> HttpResponse:
    """Ask Steam about one item again and build; 502 if Steam does not answer."""
    user = signed_in(request)
    overlay = lookups.workshop_overlay_to_edit(user, pk)
    item = get_object_or_404(WorkshopItem, overlay_links__overlay=overlay, steam_id=steam_id)
    try:
        with metadata.connect() as api:
            items_refresh.retry_item(overlay=overlay, item=item, by=user, api=api, now=timezone.now())
    except steam.SteamError as fault:
        return _failed(request, overlay, _("Nothing was changed. %(reason)s.") % {"reason": fault}, status=502)
    except jobs.Refused as fault:
        return _failed(request, overlay, str(fault), status=409)
    messages.success(request, _("Retrying “%(item)s”.") % {"item": item})
    return redirect("overlays:items", overlay.pk)


@require_POST
def build(request: HttpRequest, pk: int) -> HttpResponse:
    """Request a build of an overlay of any kind."""
    user = signed_in(request)
    overlay = lookups.overlay_to_edit(user, pk)
    try:
        builds.request(overlay=overlay, by=user)
    except jobs.Refused as fault:
        messages.error(request, str(fault))
    else:
        messages.success(request, _("Rebuilding…"))
    return redirect(overlay)


@require_safe
def overlay_conflicts(request: HttpRequest) -> HttpResponse:
    """Files that several layers of `?overlay=3&overlay=7` bring, highest priority first; `&panel=1`: for a page."""
    user = signed_in(request)
    ids = parse_ids(request.GET.getlist("overlay"))
    by_pk = Overlay.objects.in_bulk(ids)
    overlays = [by_pk[pk] for pk in dict.fromkeys(ids) if pk in by_pk]
    for overlay in overlays:
        permissions.check_can_see_overlay(user, overlay)
    if not overlays:
        raise Http404(_("Choose the overlays to compare."))
    context = {"overlays": overlays, "conflicts": conflicts.between(overlays)}
    template = "overlays/_conflicts.html" if "panel" in request.GET else "overlays/conflicts.html"
    return render(request, template, context)


def _page(request: HttpRequest, overlay: Overlay, *, form: AddItemsForm, status: int = 200) -> HttpResponse:
    item_filter = item_rows.ItemFilter.from_query(request.GET)
    page, rows = item_rows.page(overlay, item_filter, number=request.GET.get("page"), now=timezone.now())
    context: dict[str, Any] = {
        "overlay": overlay,
        "form": form,
        "item_filter": item_filter,
        "page": page,
        "rows": rows,
        "collections": overlay.collections.all(),
        "job": item_rows.live_job(overlay),
        "may_edit": permissions.can_edit_overlay(signed_in(request), overlay),
    }
    partial = "#live" if request.htmx and request.GET.get("live") else ""  # type: ignore[attr-defined]
    return render(request, f"overlays/items.html{partial}", context, status=status)


def _failed(request: HttpRequest, overlay: Overlay, message: str, *, status: int) -> HttpResponse:
    messages.error(request, message)
    return _page(request, overlay, form=AddItemsForm(), status=status)


def _with_errors(form: AddItemsForm, text: str) -> AddItemsForm:
    for line in text.splitlines()[:50]:
        form.add_error("input", line)
    return form
