"""Schedules and their runs in Django's admin, to look at."""

from __future__ import annotations

from django.contrib import admin

from left4me.core.web.admin import ReadOnlyAdmin
from left4me.schedules.models import Run, Schedule


@admin.register(Schedule)
class ScheduleAdmin(ReadOnlyAdmin):
    list_display = ["name", "owner", "action", "cron", "time_zone", "next_at", "is_enabled"]
    list_filter = ["action", "is_enabled"]
    list_select_related = ["owner"]
    search_fields = ["name", "owner__username"]


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    list_display = ["server", "action", "schedule", "due_at", "state", "reason", "ended_at"]
    list_filter = ["state", "action"]
    list_select_related = ["server", "schedule"]
    date_hierarchy = "due_at"
