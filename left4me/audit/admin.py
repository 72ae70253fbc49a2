"""Django's admin writes to the record as the pages do, and cannot touch the record itself."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest

from left4me.audit import record
from left4me.audit.models import AuditEntry


class Audited(admin.ModelAdmin):  # type: ignore[type-arg]
    """Base for admin pages whose rows may be changed: each change leaves an entry."""

    def save_model(self, request: HttpRequest, obj: Model, form: ModelForm[Any], change: bool) -> None:  # noqa: FBT001
        super().save_model(request, obj, form, change)
        self.note(request, obj, "change" if change else "create", fields=form.changed_data)

    def delete_model(self, request: HttpRequest, obj: Model) -> None:
        self.note(request, obj, "delete")
        super().delete_model(request, obj)

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
class AuditEntryAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["created_at", "actor", "action", "target", "address"]
    list_filter = ["action"]
    search_fields = ["actor", "target"]
    date_hierarchy = "created_at"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
