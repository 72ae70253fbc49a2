"""Forms for alert channels. The address is write-only: once stored, it is a secret."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from left4me.alerts import destinations, events
from left4me.alerts.models import Channel
from left4me.core import names

_LIKELY = [events.Event.SERVER_CRASHED, events.Event.SERVER_GAVE_UP, events.Event.SERVER_RECOVERED]


class ChannelForm(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=names.LONGEST, help_text=_("For example “Our Discord”."))
    kind = forms.ChoiceField(label=_("Kind"), choices=Channel.Kind.choices)
    address = forms.CharField(
        label=_("Address"),
        max_length=destinations.LONGEST,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "class": "mono"}),
        help_text=_("The webhook URL (https) or the e-mail address. Stored encrypted; won't be shown again."),
    )
    events = forms.MultipleChoiceField(label=_("Notify me when"), widget=forms.CheckboxSelectMultiple, initial=_LIKELY)
    everything = forms.BooleanField(
        label=_("Include the servers and jobs of all users"), required=False, initial=False
    )

    def __init__(self, *args: Any, by_admin: bool, channel: Channel | None = None, **kwargs: Any) -> None:
        """A form for a new channel, or with `channel` for changing that one."""
        if channel is not None:
            kwargs["initial"] = {
                "name": channel.name,
                "events": channel.events,
                "everything": channel.everything,
            }
        super().__init__(*args, **kwargs)
        groups = [(_("Problems"), events.PROBLEMS), (_("News"), events.NEWS)]
        if by_admin:
            groups.append((_("Hosts"), events.FOR_ADMINS))
        choices = [(title, [(each.value, each.label) for each in group]) for title, group in groups]
        self.fields["events"].choices = choices  # type: ignore[attr-defined]
        if not by_admin:
            del self.fields["everything"]
        if channel is not None:
            del self.fields["kind"]
            self.fields["address"].required = False
            self.fields["address"].label = _("New address")
            # Help texts are HTML, and the host name is user input.
            self.fields["address"].help_text = format_html(str(_("Leave blank to keep {}")), channel.masked_address)

    def given(self) -> dict[str, Any]:
        """The keyword arguments of the action."""
        return {"everything": False, **self.cleaned_data}
