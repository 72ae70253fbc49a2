"""The admins' page of the workshop cache: the last refresh, the size of the cache, and unused items."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.permissions import administrator
from left4me.core.web import notices
from left4me.jobs import actions as jobs
from left4me.jobs.models import Job
from overlays.workshop_items import cache_cleanup, refresh
from workshop.models import WorkshopItem

PER_PAGE = 100


@require_safe
def cache(request: HttpRequest) -> HttpResponse:
    administrator(request)
    unused = WorkshopItem.objects.unused().order_by("-file_size", "pk")
    context = {
        "page": Paginator(unused, PER_PAGE).get_page(request.GET.get("page")),
        "unused_size": unused.cached().aggregate(sum=Sum("file_size"))["sum"] or 0,
        "cached_size": WorkshopItem.objects.cached().aggregate(sum=Sum("file_size"))["sum"] or 0,
        "cached_count": WorkshopItem.objects.cached().count(),
        "failed_count": WorkshopItem.objects.failed().count(),
        "refresh": Job.objects.filter(operation=refresh.OPERATION).order_by("-pk").first(),
    }
    return render(request, "overlays/cache.html", context)


@require_POST
def refresh_all(request: HttpRequest) -> HttpResponse:
    try:
        job = refresh.request_refresh(by=administrator(request))
    except jobs.Refused as fault:
        notices.refuse(request, fault)
        return redirect("overlays:cache")
    return redirect(job)


@require_POST
def tidy(request: HttpRequest) -> HttpResponse:
    """Delete all items that no overlay uses."""
    try:
        job = cache_cleanup.request_tidy(by=administrator(request), older_than_days=0)
    except jobs.Refused as fault:
        notices.refuse(request, fault)
        return redirect("overlays:cache")
    messages.success(request, _("Deleting unused items…"))
    return redirect(job)
