from django.contrib import admin

from left4me.core.web.admin import ReadOnlyAdmin
from left4me.status_pages.models import StatusMessage, StatusPage


@admin.register(StatusPage)
class StatusPageAdmin(ReadOnlyAdmin):
    list_display = ["title", "owner", "is_enabled", "created_at"]
    list_select_related = ["owner"]
    search_fields = ["title", "owner__username"]


@admin.register(StatusMessage)
class StatusMessageAdmin(ReadOnlyAdmin):
    list_display = ["channel", "page", "sent_at", "last_error"]
    list_select_related = ["channel", "page"]
