"""The box that workshop items are pasted into."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from workshop import inputs


class AddForm(forms.Form):
    input = forms.CharField(
        label=_("Ids or links"),
        max_length=inputs.LONGEST_INPUT,
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false", "autocomplete": "off"}),
        help_text=_("Workshop ids or addresses, as many as you like, on one line or on many."),
    )
    mode = forms.ChoiceField(
        label=_("They are"),
        choices=[("items", _("items")), ("collection", _("collections"))],
        initial="items",
        widget=forms.RadioSelect,
    )
    follow = forms.BooleanField(
        label=_("Follow the collections"),
        initial=True,
        required=False,
        help_text=_("What their authors add or remove later comes and goes here too. Only for collections."),
    )
