"""Forms of overlays, for pages and admin."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from overlays import permissions
from overlays.models import Overlay


class OverlayForm(forms.ModelForm):  # type: ignore[type-arg]
    """A new or changed overlay as `by` may make it: ordinary users choose neither directory nor catalog."""

    version = forms.IntegerField(widget=forms.HiddenInput, required=False)
    is_system = forms.BooleanField(
        label=_("Part of the catalog"),
        required=False,
        help_text=_("System overlays can be used by everybody and are changed by admins only."),
    )

    class Meta:
        model = Overlay
        fields = ["name", "kind", "expose_cfg", "path"]
        widgets = {"kind": forms.RadioSelect}

    def __init__(self, *args: Any, by: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        is_new = self.instance.pk is None
        self.fields["path"].required = False
        self.fields["path"].help_text = _("Below the overlay root. Empty: a directory of its own.")
        self.fields["version"].initial = self.instance.version
        if not is_new:
            del self.fields["kind"], self.fields["is_system"]
        if not permissions.can_make_system_overlay(by):
            self.fields.pop("is_system", None)
            del self.fields["path"]
            if is_new:
                choices = [choice for choice in Overlay.Kind.choices if choice[0] != Overlay.Kind.SCRIPT]
                self.fields["kind"].choices = choices  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("kind") == Overlay.Kind.SCRIPT and not cleaned.get("is_system"):
            self.add_error("kind", _("Script overlays belong to the catalog: they run on the host."))
        return cleaned

    def _post_clean(self) -> None:
        """The action validates the row: it knows the owner, which the form does not."""
