"""Django's admin as a third door to the same actions that pages and API use."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from left4me.core.web import forms as lib_forms


class ActionAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows that only actions write: subclasses say which action creates, updates and deletes one.

    What an action raises as ValidationError, or as one of `refusals`, is shown at the form.
    """

    refusals: ClassVar[tuple[type[Exception], ...]] = ()
    # Deleting many at once would need a page of refusals.
    actions = None

    def create(self, *, values: dict[str, Any], request: HttpRequest) -> Model:
        raise NotImplementedError

    def update(self, *, row: Any, values: dict[str, Any], request: HttpRequest) -> Model:
        raise NotImplementedError

    def delete(self, *, row: Any, request: HttpRequest) -> None:
        raise NotImplementedError

    def form_arguments(self, request: HttpRequest, obj: Any = None) -> dict[str, Any]:
        """What the form wants beside data and instance."""
        return {}

    def get_form(self, request: HttpRequest, obj: Model | None = None, change: bool = False, **kwargs: Any) -> Any:  # noqa: FBT001, FBT002
        """The form, made to call the action as the last step of its validation.

        The admin has no later step whose failure it could show: after validation it only saves.
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
                except site.refusals as fault:
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
        """The action has saved it."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:  # noqa: FBT001
        """The action has saved it."""

    def delete_model(self, request: HttpRequest, obj: Model) -> None:
        self.delete(row=obj, request=request)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        try:
            return super().delete_view(request, object_id, extra_context)
        except self.refusals as fault:
            self.message_user(request, str(fault), messages.ERROR)
            return redirect(reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[object_id]))
