from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from left4me.alerts.models import Channel, Delivery, Incident
from left4me.audit.admin import Audited


class _ToLookAt(admin.ModelAdmin):  # type: ignore[type-arg]
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Channel)
class ChannelAdmin(Audited):
    """To switch off and to delete; addresses are their users' secrets and are typed in on their page."""

    list_display = ["name", "user", "kind", "is_enabled", "last_delivered_at", "last_error"]
    list_filter = ["kind", "is_enabled"]
    list_select_related = ["user"]
    search_fields = ["name", "user__username"]
    fields = ["user", "name", "kind", "masked_address", "events", "is_enabled", "last_delivered_at", "last_error"]
    readonly_fields = ["user", "name", "kind", "masked_address", "events", "last_delivered_at", "last_error"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False


@admin.register(Incident)
class IncidentAdmin(_ToLookAt):
    list_display = ["key", "opened_at", "last_at", "count", "well_since", "closed_at"]
    search_fields = ["=key", "=subject"]


@admin.register(Delivery)
class DeliveryAdmin(_ToLookAt):
    list_display = ["title", "channel", "event", "state", "attempts", "created_at", "ended_at"]
    list_filter = ["state", "event"]
    list_select_related = ["channel"]
