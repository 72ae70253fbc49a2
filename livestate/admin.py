"""What was observed of running games, and what they were told, in Django's admin: read-only."""

from __future__ import annotations

from django.contrib import admin

from left4me.core.web.admin import ReadOnlyAdmin
from livestate.demos.models import Demo
from livestate.models import (
    HostFigures,
    Order,
    PlayerNote,
    PlayerSession,
    ServerFigures,
    ServerPlayer,
    Silence,
    Snapshot,
    SteamProfile,
    Sweep,
)


@admin.register(Snapshot)
class SnapshotAdmin(ReadOnlyAdmin):
    list_display = [
        "server",
        "map",
        "players",
        "max_players",
        "bots",
        "hibernating",
        "started_at",
        "last_seen_at",
    ]
    list_filter = ["hibernating", "server__host"]
    list_select_related = ["server"]
    search_fields = ["server__name", "map"]
    date_hierarchy = "started_at"


@admin.register(PlayerSession)
class PlayerSessionAdmin(ReadOnlyAdmin):
    list_display = [
        "steam_id_64",
        "name_at_join",
        "server",
        "joined_at",
        "left_at",
        "stayed",
        "min_ping",
        "max_ping",
    ]
    list_filter = [("left_at", admin.EmptyFieldListFilter), "server__host"]
    list_select_related = ["server"]
    search_fields = ["=steam_id_64", "name_at_join", "server__name"]
    date_hierarchy = "joined_at"


@admin.register(ServerPlayer)
class ServerPlayerAdmin(ReadOnlyAdmin):
    list_display = ["steam_id_64", "name", "server", "visits", "first_seen_at", "last_seen_at", "online_since"]
    list_filter = ["server__host"]
    list_select_related = ["server"]
    search_fields = ["=steam_id_64", "names", "server__name"]


@admin.register(PlayerNote)
class PlayerNoteAdmin(ReadOnlyAdmin):
    list_display = ["steam_id_64", "owner", "author", "text", "created_at", "changed_at"]
    list_select_related = ["owner", "author"]
    search_fields = ["=steam_id_64", "text", "owner__username", "author__username"]
    date_hierarchy = "created_at"


@admin.register(SteamProfile)
class SteamProfileAdmin(ReadOnlyAdmin):
    list_display = ["steam_id_64", "persona_name", "kind", "fetched_at"]
    list_filter = ["kind"]
    search_fields = ["=steam_id_64", "persona_name"]
    date_hierarchy = "fetched_at"


@admin.register(Order)
class OrderAdmin(ReadOnlyAdmin):
    list_display = ["server", "user", "kind", "value", "state", "created_at", "finished_at"]
    list_filter = ["state", "kind", "server__host"]
    list_select_related = ["server", "user"]
    search_fields = ["server__name", "user__username", "value"]
    date_hierarchy = "created_at"


@admin.register(Silence)
class SilenceAdmin(ReadOnlyAdmin):
    list_display = ["server", "reason", "since", "last_at", "count", "message"]
    list_filter = ["reason", "server__host"]
    list_select_related = ["server"]
    search_fields = ["server__name", "message"]


@admin.register(Sweep)
class SweepAdmin(ReadOnlyAdmin):
    list_display = ["host", "started_at", "seconds", "answered", "silent"]
    list_select_related = ["host"]


@admin.register(ServerFigures)
class ServerFiguresAdmin(ReadOnlyAdmin):
    list_display = ["server", "step", "start"]
    list_filter = ["step", "server__host"]
    list_select_related = ["server"]
    search_fields = ["server__name"]
    date_hierarchy = "start"


@admin.register(HostFigures)
class HostFiguresAdmin(ReadOnlyAdmin):
    list_display = ["host", "step", "start"]
    list_filter = ["step"]
    list_select_related = ["host"]
    date_hierarchy = "start"


@admin.register(Demo)
class DemoAdmin(ReadOnlyAdmin):
    list_display = ["server", "path", "map", "state", "started_at", "ended_at", "size"]
    list_filter = ["state"]
    list_select_related = ["server"]
    search_fields = ["path", "map", "server__name"]
    date_hierarchy = "started_at"
