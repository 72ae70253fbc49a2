"""The forms that save, rename and delete filters of lists."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts import filters
from accounts.models import SavedFilter, User
from accounts.models.filters import PARAMETERS, query_of
from accounts.permissions import signed_in
from left4me.core.web import notices, undo
from left4me.core.web.refusals import Refused

_LISTS: dict[str, str] = {SavedFilter.Place.SERVERS: "servers:list", SavedFilter.Place.JOBS: "jobs:index"}


@require_POST
def save(request: HttpRequest) -> HttpResponse:
    """Save the filter that is applied, under a name."""
    user, place, query = signed_in(request), request.POST.get("place", ""), request.POST.get("query", "")
    try:
        row = filters.save(user=user, place=place, name=request.POST.get("name", ""), query=query)
    except (Refused, ValidationError) as fault:
        notices.refuse(request, fault)
        return redirect(_address(place, query))
    notices.done(request, _("Filter “%s” saved.") % row.name)
    return redirect(_address(place, row.query))


@require_POST
def change(request: HttpRequest, pk: int) -> HttpResponse:
    """Rename, make the default, or delete, by the button that was pressed."""
    user = signed_in(request)
    row = get_object_or_404(SavedFilter, pk=pk, user=user)
    pressed, query = request.POST.get("operation", ""), row.query
    try:
        if pressed == "delete":
            again = undo.offer("filter", by=user, **filters.delete(row=row, by=user))
            notices.done(request, _("Filter “%s” deleted.") % row.name, undo=again)
        else:
            is_default = {"default": True, "ordinary": False}.get(pressed)
            filters.change(row=row, by=user, name=request.POST.get("name"), is_default=is_default)
    except ValidationError as fault:
        notices.refuse(request, fault)
    return redirect(_address(row.place, query))


@undo.register("filter")
def save_again(user: User, **kept: Any) -> str:
    """Save a deleted filter again."""
    row = filters.save(user=user, **kept)
    return _address(row.place, row.query)


def _address(place: str, query: str) -> str:
    """The list with this filter; without one, all of it and not the default filter."""
    address = reverse(_LISTS.get(place, "dashboard"))
    kept = query_of(place, query) if place in PARAMETERS else ""
    return f"{address}?{kept or urlencode({'all': '1'})}"
