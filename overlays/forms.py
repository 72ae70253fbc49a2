"""Forms for overlays and for adding workshop items."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from overlays import permissions
from overlays.models import Overlay
from workshop import inputs


class OverlayForm(forms.ModelForm):  # type: ignore[type-arg]
    """Creates or changes an overlay. Only if `by` is an admin, it has the fields for the catalog and the directory."""

    version = forms.IntegerField(widget=forms.HiddenInput, required=False)
    is_system = forms.BooleanField(
        label=_("Part of the catalog"),
        required=False,
        help_text=_("Everyone can use system overlays; only admins can change them."),
    )

    class Meta:
        model = Overlay
        fields = ["name", "kind", "expose_cfg", "path"]
        widgets = {"kind": forms.RadioSelect}

    def __init__(self, *args: Any, by: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        is_new = self.instance.pk is None
        self.fields["path"].required = False
        self.fields["path"].help_text = _("Relative to the overlay root. Leave blank to pick automatically.")
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
            self.add_error("kind", _("Script overlays run on the host, so they must be part of the catalog."))
        return cleaned

    def _post_clean(self) -> None:
        """Skips the validation of the model: the action does it, since the form does not know the owner."""


class AddItemsForm(forms.Form):
    """Workshop ids and links to add to an overlay: of items and of collections."""

    input = forms.CharField(
        label=_("Links or IDs"),
        max_length=inputs.LONGEST_INPUT,
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false", "autocomplete": "off"}),
        help_text=_("Workshop items and collections, as many as you like, separated by spaces or line breaks."),
    )
