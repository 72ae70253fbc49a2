"""Rotations and what games told, in Django's admin, to look at."""

from __future__ import annotations

from django.contrib import admin

from left4me.core.web.admin import ReadOnlyAdmin
from livestate.rotation.models import GameEvent, MapState, Rotation


@admin.register(Rotation)
class RotationAdmin(ReadOnlyAdmin):
    list_display = ["server", "blueprint", "is_on", "sequence", "repeats", "wait_seconds"]
    list_select_related = ["server", "blueprint"]
    list_filter = ["is_on", "sequence"]


@admin.register(MapState)
class MapStateAdmin(ReadOnlyAdmin):
    list_display = ["server", "map", "position", "due_at", "reason", "attempts"]
    list_select_related = ["server"]


@admin.register(GameEvent)
class GameEventAdmin(ReadOnlyAdmin):
    list_display = ["server", "name", "map", "mode", "at", "is_handled"]
    list_select_related = ["server"]
    list_filter = ["name"]
