"""Audit entries in Django's admin, read-only, and the base of admin pages whose changes are audited."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest

from left4me.audit import record
from left4me.audit.models import AuditEntry
from left4me.core.web.admin import ReadOnlyAdmin


class Audited(admin.ModelAdmin):  # type: ignore[type-arg]
    """Base of admin pages whose rows may be changed. Each change leaves an audit entry."""

    def save_model(self, request: HttpRequest, obj: Model, form: ModelForm[Any], change: bool) -> None:  # noqa: FBT001
        super().save_model(request, obj, form, change)
        self.note(request, obj, "change" if change else "create", fields=form.changed_data)

    def delete_model(self, request: HttpRequest, obj: Model) -> None:
        self.note(request, obj, "delete")
        super().delete_model(request, obj)

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[str], dict[Any, Any], set[str], list[str]]:
        """Rows that the admin only shows do not keep the rows that they belong to from being deleted."""
        deleted, counts, _not_permitted, protected = super().get_deleted_objects(objs, request)
        return deleted, counts, set(), protected

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for obj in queryset:
            self.delete_model(request, obj)

    def note(self, request: HttpRequest, obj: Model, act: str, **details: Any) -> None:
        kind = str(obj._meta.model_name)
        by: Any = request.user
        record.write(
            action=f"{kind}.{act}", by=by, target=f"{kind}:{obj.pk}", request=request, name=str(obj)[:100], **details
        )


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "actor", "action", "target", "address"]
    list_filter = ["action"]
    search_fields = ["actor", "target"]
    date_hierarchy = "created_at"
