"""The form that requests an import."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.permissions import user_named
from left4me.importer.models import Import
from servers.models import Host

LONGEST_LAUNCH = 20_000


class ImportForm(forms.Form):
    """Names a directory of the web's machine, and for whom it is imported."""

    path = forms.CharField(
        label=_("Directory"),
        max_length=1000,
        widget=forms.TextInput(
            attrs={"spellcheck": "false", "autocomplete": "off", "placeholder": "/home/l4d2server", "autofocus": True}
        ),
        help_text=_("The full path on this machine. Nothing there is changed."),
    )
    owner = forms.CharField(
        label=_("Owner"),
        max_length=150,
        help_text=_("The user who gets the overlays, blueprints and servers."),
    )
    host = forms.ModelChoiceField(
        label=_("Host"), queryset=Host.objects.none(), empty_label=None, help_text=_("Where the servers will run.")
    )
    launch = forms.CharField(
        label=_("Launch line"),
        required=False,
        max_length=LONGEST_LAUNCH,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false", "autocomplete": "off"}),
        help_text=_("Only if the directory has none: a panel keeps it, or a unit in /etc. It replaces what is found."),
    )

    def __init__(self, *args: Any, by: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._by = by
        hosts = Host.objects.filter(is_enabled=True)
        self.fields["host"].queryset = hosts  # type: ignore[attr-defined]
        self.fields["host"].initial = hosts.first()
        self.fields["owner"].initial = by.get_username()

    @classmethod
    def again(cls, row: Import, *, by: User) -> ImportForm:
        """The form as it was sent for this import."""
        sent = {"path": row.path, "owner": row.owner.get_username(), "host": row.host_id, "launch": row.launch}
        return cls(sent, by=by)

    def clean_owner(self) -> User:
        user = user_named(self.cleaned_data["owner"], by=self._by)
        if user is None:
            raise ValidationError(_("No user with that name."))
        return user
