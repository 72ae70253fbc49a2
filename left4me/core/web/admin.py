"""Bases for Django's admin, which changes rows by the same actions as the pages and the API."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from left4me.core.web import forms as lib_forms
from left4me.core.web.refusals import Refused


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows that only the application writes: the admin shows them and neither adds, changes nor deletes any."""

    # Counting a large table twice, with and without the filter, would cost more than the page itself.
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ActionAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows that only actions write: subclasses say which action creates, updates and deletes one.

    The form shows what an action raises as ValidationError or as Refused.
    """

    # Deleting many rows at once would need a page that lists the refusals.
    actions = None

    def create(self, *, values: dict[str, Any], request: HttpRequest) -> Model:
        raise NotImplementedError

    def update(self, *, row: Any, values: dict[str, Any], request: HttpRequest) -> Model:
        raise NotImplementedError

    def delete(self, *, row: Any, request: HttpRequest) -> None:
        raise NotImplementedError

    def form_arguments(self, request: HttpRequest, obj: Any = None) -> dict[str, Any]:
        """Keyword arguments of the form beside `data` and `instance`."""
        return {}

    def get_form(self, request: HttpRequest, obj: Model | None = None, change: bool = False, **kwargs: Any) -> Any:  # noqa: FBT001, FBT002
        """A form class that runs the action as the last step of validation.

        The admin shows errors of validation only: after it, saving must not fail.
        """
        site = self

        class Acting(self.form):  # type: ignore[misc, name-defined]
            saved: Model

            def __init__(self, *args: Any, **more: Any) -> None:
                super().__init__(*args, **{**site.form_arguments(request, obj), **more})

            def _post_clean(self) -> None:
                super()._post_clean()
                if self.errors:
                    return
                try:
                    self.saved = site._act(obj, self.cleaned_data, request)
                except ValidationError as fault:
                    lib_forms.add_errors(self, fault)
                except Refused as fault:
                    self.add_error(None, str(fault))

        return Acting

    def _act(self, obj: Model | None, values: dict[str, Any], request: HttpRequest) -> Model:
        if obj is None:
            return self.create(values=values, request=request)
        return self.update(row=obj, values=values, request=request)

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        form = self.get_form(request, obj)(instance=obj)
        return list(form.fields)

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> Model:  # noqa: FBT001
        saved: Model = form.saved
        return saved

    def save_model(self, request: HttpRequest, obj: Model, form: Any, change: bool) -> None:  # noqa: FBT001
        """Nothing is left to do: the action has saved the row."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:  # noqa: FBT001
        """Nothing is left to do: the action has saved the row."""

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """List only the rows themselves: the action deletes what depends on them, which may be very many rows."""
        return [str(each) for each in objs], {str(self.opts.verbose_name_plural): len(objs)}, set(), []

    def delete_model(self, request: HttpRequest, obj: Model) -> None:
        self.delete(row=obj, request=request)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        try:
            return super().delete_view(request, object_id, extra_context)
        except Refused as fault:
            self.message_user(request, str(fault), messages.ERROR)
            return redirect(reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[object_id]))
