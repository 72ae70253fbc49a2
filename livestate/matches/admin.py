"""Matches in Django's admin, to look at."""

from __future__ import annotations

from django.contrib import admin

from left4me.core.web.admin import ReadOnlyAdmin
from livestate.matches.models import Match, MatchPlayer


@admin.register(Match)
class MatchAdmin(ReadOnlyAdmin):
    list_display = ["mode_title", "server", "state", "map", "created_by", "created_at", "started_at", "ended_at"]
    list_filter = ["state"]
    list_select_related = ["server", "created_by"]
    search_fields = ["mode", "mode_title", "server__name"]
    date_hierarchy = "created_at"


@admin.register(MatchPlayer)
class MatchPlayerAdmin(ReadOnlyAdmin):
    list_display = ["match", "name", "steam_id_64", "team"]
    list_select_related = ["match"]
    search_fields = ["name", "=steam_id_64"]
