from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from left4me.jobs.models import Job, JobLock


class LockInline(admin.TabularInline):  # type: ignore[type-arg]
    model = JobLock
    extra = 0
    can_delete = False


@admin.register(Job)
class JobAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """To look at, not to change: a state that is typed in would contradict what runs."""

    list_display = ["pk", "operation", "resource", "host", "state", "user", "created_at", "finished_at"]
    list_filter = ["state", "operation", "host"]
    list_select_related = ["user"]
    search_fields = ["=resource", "=operation"]
    inlines = [LockInline]
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
