"""Pages of an overlay's workshop items."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.models import User
from accounts.permissions import signed_in
from left4me.core.web import notices, undo
from left4me.core.web.ids import parse_ids
from left4me.core.web.refusals import Cure
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
    steam_ids = parse_ids(request.POST.getlist("item"))[: membership.MOST_ITEMS]
    links = membership.kept_links(overlay, item__steam_id__in=steam_ids)
    count = membership.remove(overlay=overlay, steam_ids=steam_ids, by=user)
    if count:
        message = ngettext("%(count)d item removed.", "%(count)d items removed.", count) % {"count": count}
        notices.done(request, message, undo=undo.offer("overlay.items", by=user, overlay=pk, links=links))
    else:
        messages.warning(request, _("No items removed. Select the items to remove first."))
    return redirect("overlays:items", overlay.pk)


@require_POST
def unfollow_collection(request: HttpRequest, pk: int, collection_id: int) -> HttpResponse:
    user = signed_in(request)
    overlay = lookups.workshop_overlay_to_edit(user, pk)
    collection = get_object_or_404(overlay.collections, pk=collection_id)
    links = membership.kept_links(overlay, collection=collection)
    kept = {"overlay": pk, "links": links, "collection": (collection.steam_id, collection.title)}
    membership.unfollow(overlay=overlay, collection=collection, by=user, keep_items="keep" in request.POST)
    text = _("Stopped syncing with the collection.")
    notices.done(request, text, undo=undo.offer("overlay.items", by=user, **kept))
    return redirect("overlays:items", overlay.pk)


@undo.register("overlay.items")
def put_back(user: User, overlay: int, **kept: Any) -> str:
    """Add items again that were removed, and follow their collection again."""
    row = lookups.workshop_overlay_to_edit(user, overlay)
    membership.put_back(overlay=row, by=user, **kept)
    return reverse("overlays:items", args=[overlay])


@require_POST
def refresh(request: HttpRequest, pk: int) -> HttpResponse:
    """Refresh the overlay's items from Steam, then build. 400 if it has none, 502 if Steam does not answer."""
    user = signed_in(request)
    overlay = lookups.workshop_overlay_to_edit(user, pk)
    try:
        with metadata.connect() as api:
            items_refresh.refresh_overlay(overlay=overlay, by=user, api=api, now=timezone.now())
    except items_refresh.NothingToRefresh as fault:
        return _failed(request, overlay, fault, status=400)
    except steam.SteamError as fault:
        return _failed(request, overlay, _unchanged(fault, reverse("overlays:refresh", args=[pk])), status=502)
    except jobs.Refused as fault:
        return _failed(request, overlay, fault, status=409)
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
        again = reverse("overlays:retry_item", args=[pk, steam_id])
        return _failed(request, overlay, _unchanged(fault, again), status=502)
    except jobs.Refused as fault:
        return _failed(request, overlay, fault, status=409)
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
        notices.refuse(request, fault)
    else:
        messages.success(request, _("Rebuilding…"))
    return redirect(overlay)


@require_safe
def overlay_conflicts(request: HttpRequest) -> HttpResponse:
    """Files that several layers of `?overlay=3&overlay=7` bring, highest priority first; `&panel=1`: for a page."""
    user = signed_in(request)
    ids = parse_ids(request.GET.getlist("overlay"))
    # What the user may not see is left out like what is not there: an error would tell the two apart.
    by_pk = Overlay.objects.visible_to(user).in_bulk(ids)
    overlays = [by_pk[pk] for pk in dict.fromkeys(ids) if pk in by_pk]
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


def _unchanged(fault: steam.SteamError, again: str) -> jobs.Refused:
    """That Steam did not answer, with the button that asks it again at the address `again`."""
    text = _("Nothing was changed. %(reason)s.") % {"reason": fault}
    return jobs.Refused(text, cure=Cure(label=_("Retry"), url=again, operation="retry"))


def _failed(request: HttpRequest, overlay: Overlay, fault: Exception, *, status: int) -> HttpResponse:
    notices.refuse(request, fault)
    return _page(request, overlay, form=AddItemsForm(), status=status)


def _with_errors(form: AddItemsForm, text: str) -> AddItemsForm:
    for line in text.splitlines()[:50]:
        form.add_error("input", line)
    return form
