"""Forms of status pages and of their messages in Discord."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from left4me.core import names
from left4me.status_pages.models import StatusMessage, StatusPage, is_slug
from servers.models import Server


class StatusPageForm(forms.Form):
    title = forms.CharField(label=_("Title"), max_length=names.LONGEST)
    servers = forms.TypedMultipleChoiceField(label=_("Servers"), coerce=int, widget=forms.CheckboxSelectMultiple)
    shows_players = forms.BooleanField(
        label=_("Show the names of players"),
        required=False,
        help_text=_("With their Steam pictures. Their number is always shown."),
    )
    shows_join = forms.BooleanField(
        label=_("Show how to join"), required=False, initial=True, help_text=_("The address and a button for Steam.")
    )
    shows_history = forms.BooleanField(
        label=_("Show history"),
        required=False,
        initial=True,
        help_text=_("Players and campaigns of the last 24 hours."),
    )
    slug = forms.CharField(
        label=_("Address"),
        max_length=64,
        required=False,
        validators=[is_slug],
        widget=forms.TextInput(attrs={"class": "mono", "spellcheck": "false", "autocapitalize": "off"}),
        help_text=_("The last part of the address. Leave blank for a secret one that nobody can guess."),
    )
    embed_origins = forms.CharField(
        label=_("Sites that may embed it"),
        max_length=3000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 2, "class": "mono", "spellcheck": "false", "wrap": "off"}),
        help_text=_("One per line, such as https://example.org. Leave blank if no site embeds it."),
    )

    def __init__(self, *args: Any, owner: User, page: StatusPage | None = None, **kwargs: Any) -> None:
        """A form for a new page of `owner`, or for changing `page`."""
        if page is not None:
            kwargs["initial"] = {
                **{name: getattr(page, name) for name in _AS_THEY_ARE},
                "embed_origins": "\n".join(page.embed_origins),
                "servers": list(page.shown_servers.values_list("pk", flat=True)),
            }
        super().__init__(*args, **kwargs)
        self.fields["servers"].choices = [  # type: ignore[attr-defined]
            (row.pk, row.name) for row in Server.objects.filter(owner=owner)
        ]

    def given(self) -> dict[str, Any]:
        """The keyword arguments of the action. Without an address, the page keeps or gets a secret one."""
        given = {**self.cleaned_data, "embed_origins": self.cleaned_data["embed_origins"].lower().split()}
        given["embed_origins"] = [site.rstrip("/") for site in given["embed_origins"]]
        if not given["slug"]:
            del given["slug"]
        return given


_AS_THEY_ARE = ("title", "slug", "shows_players", "shows_join", "shows_history")


class MessageForm(forms.Form):
    page = forms.ModelChoiceField(
        label=_("Status page"),
        queryset=StatusPage.objects.none(),
        empty_label=None,
        help_text=_("Its servers are shown, with what the page shows. The page itself may be off."),
    )

    def __init__(self, *args: Any, owner_id: int, message: StatusMessage | None, **kwargs: Any) -> None:
        if message is not None:
            kwargs["initial"] = {"page": message.page_id}
        super().__init__(*args, **kwargs)
        self.fields["page"].queryset = StatusPage.objects.filter(owner_id=owner_id)  # type: ignore[attr-defined]
