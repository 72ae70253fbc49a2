"""Overlays in Django's admin: the same form and the same actions as the pages."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from accounts.permissions import signed_in
from left4me.core.web.admin import ActionAdmin, ReadOnlyAdmin
from overlays import actions
from overlays.forms import OverlayForm
from overlays.models import Overlay, OverlayCopy


@admin.register(Overlay)
class OverlayAdmin(ActionAdmin):
    form = OverlayForm
    list_display = ["name", "kind", "owner", "path", "content_version", "built_at"]
    list_filter = ["kind", ("owner", admin.EmptyFieldListFilter)]
    list_select_related = ["owner"]
    search_fields = ["name", "owner__username", "path"]

    def form_arguments(self, request: HttpRequest, obj: Any = None) -> dict[str, Any]:
        return {"by": signed_in(request)}

    def create(self, *, values: dict[str, Any], request: HttpRequest) -> Overlay:
        by = signed_in(request)
        return actions.create(
            name=values["name"],
            kind=values["kind"],
            owner=None if values["is_system"] else by,
            by=by,
            expose_cfg=values["expose_cfg"],
            path=values["path"],
        )

    def update(self, *, row: Any, values: dict[str, Any], request: HttpRequest) -> Overlay:
        return actions.update(
            overlay=row,
            seen_version=values["version"] or 0,
            by=signed_in(request),
            name=values["name"],
            expose_cfg=values["expose_cfg"],
            path=values["path"] or row.path,
        )

    def delete(self, *, row: Any, request: HttpRequest) -> None:
        actions.delete(overlay=row, by=signed_in(request))


@admin.register(OverlayCopy)
class OverlayCopyAdmin(ReadOnlyAdmin):
    list_display = ["overlay", "host", "content_version", "is_whole", "made_at"]
    list_filter = ["host", "is_whole"]
    list_select_related = ["overlay"]
    search_fields = ["overlay__name"]
    date_hierarchy = "made_at"
