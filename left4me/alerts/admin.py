"""Alert channels, incidents and deliveries in Django's admin."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest

from left4me.alerts.models import Channel, Delivery, Incident
from left4me.audit.admin import Audited
from left4me.core.web.admin import ReadOnlyAdmin


@admin.register(Channel)
class ChannelAdmin(Audited):
    """Admins switch channels off and delete them. Addresses are secrets, which users set on their own page."""

    list_display = ["name", "user", "kind", "masked_address", "is_enabled", "last_delivered_at", "last_error"]
    list_filter = ["kind", "is_enabled"]
    list_select_related = ["user"]
    search_fields = ["name", "user__username"]
    fields = ["user", "name", "kind", "masked_address", "events", "is_enabled", "last_delivered_at", "last_error"]
    readonly_fields = ["user", "name", "kind", "masked_address", "events", "last_delivered_at", "last_error"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False


@admin.register(Incident)
class IncidentAdmin(ReadOnlyAdmin):
    list_display = ["key", "opened_at", "last_at", "count", "well_since", "closed_at"]
    list_filter = [("closed_at", admin.EmptyFieldListFilter)]
    date_hierarchy = "opened_at"
    search_fields = ["=key", "=subject"]


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    list_display = ["title", "channel", "event", "state", "attempts", "created_at", "ended_at"]
    list_filter = ["state", "event"]
    list_select_related = ["channel"]
    search_fields = ["title", "channel__name", "=subject"]
    date_hierarchy = "created_at"
