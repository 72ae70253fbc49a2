"""Jobs and their locks in Django's admin."""

from __future__ import annotations

from django.contrib import admin

from left4me.core.web.admin import ReadOnlyAdmin
from left4me.jobs.models import Job, JobLock


class LockInline(admin.TabularInline):  # type: ignore[type-arg]
    model = JobLock
    extra = 0
    can_delete = False


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    """Jobs, read-only: a state that is edited by hand would contradict the running job."""

    list_display = ["pk", "operation", "resource", "host", "state", "user", "created_at", "finished_at"]
    list_filter = ["state", "operation", "host"]
    list_select_related = ["user"]
    date_hierarchy = "created_at"
    search_fields = ["=resource", "=operation"]
    inlines = [LockInline]
