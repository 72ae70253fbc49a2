"""Bans and their lists in Django's admin, to look at."""

from __future__ import annotations

from django.contrib import admin

from left4me.core.web.admin import ReadOnlyAdmin
from livestate.bans.models import AppliedBans, Ban, BanList, Subscription


@admin.register(BanList)
class BanListAdmin(ReadOnlyAdmin):
    list_display = ["title", "owner", "server", "is_default", "is_shared", "version"]
    list_filter = ["is_shared"]
    list_select_related = ["owner", "server"]
    search_fields = ["name", "owner__username", "server__name"]


@admin.register(Ban)
class BanAdmin(ReadOnlyAdmin):
    list_display = ["target", "name", "ban_list", "reason", "created_by", "created_at", "expires_at", "ended_at"]
    list_select_related = ["ban_list__owner", "ban_list__server", "created_by"]
    search_fields = ["target", "name", "reason"]
    date_hierarchy = "created_at"


@admin.register(Subscription)
class SubscriptionAdmin(ReadOnlyAdmin):
    list_display = ["user", "ban_list", "created_at"]
    list_select_related = ["user", "ban_list__owner", "ban_list__server"]


@admin.register(AppliedBans)
class AppliedBansAdmin(ReadOnlyAdmin):
    list_display = ["server", "checked_at", "due_at", "failures", "error"]
    list_select_related = ["server"]
