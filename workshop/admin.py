"""Workshop items and the files inside their VPKs in Django's admin: read-only."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from left4me.core.web.admin import ReadOnlyAdmin
from workshop.models import WorkshopContents, WorkshopItem

_MOST_PATHS_SHOWN = 500


@admin.register(WorkshopItem)
class WorkshopItemAdmin(ReadOnlyAdmin):
    list_display = [
        "steam_id",
        "title",
        "author",
        "shown_state",
        "file_size",
        "is_valid",
        "refreshed_at",
        "last_downloaded_at",
    ]
    list_filter = [
        "is_valid",
        ("cached_version", admin.EmptyFieldListFilter),
        ("last_error", admin.EmptyFieldListFilter),
        ("unused_since", admin.EmptyFieldListFilter),
    ]
    search_fields = ["=steam_id", "title", "author"]
    date_hierarchy = "last_downloaded_at"

    @admin.display(description=_("state"))
    def shown_state(self, item: WorkshopItem) -> str:
        return str(item.state(timezone.now()).label)


@admin.register(WorkshopContents)
class WorkshopContentsAdmin(ReadOnlyAdmin):
    list_display = ["item"]
    list_select_related = ["item"]
    search_fields = ["=item__steam_id", "item__title"]
    fields = ["item", "paths_inside"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[WorkshopContents]:
        # A list of a hundred items would otherwise read the paths of them all.
        return super().get_queryset(request).defer("packed_paths")

    @admin.display(description=_("paths"))
    def paths_inside(self, contents: WorkshopContents) -> SafeString:
        paths = contents.paths
        shown = format_html_join("", "<li>{}</li>", ((path,) for path in paths[:_MOST_PATHS_SHOWN]))
        more = len(paths) - _MOST_PATHS_SHOWN
        return format_html("<ul>{}</ul>{}", shown, _("and %d more") % more if more > 0 else "")
