"""The form of a blueprint's identity, over the lines of its server.cfg."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from servers.identity import cvars, lines, overview, values
from servers.identity.cvars import IdentityCvar
from servers.identity.overview import Inherited
from servers.models import Blueprint, game_texts


class IdentityForm(forms.Form):
    """A field for each setting and each text; `changes` are the settings that differ from the lines."""

    version = forms.IntegerField(widget=forms.HiddenInput, required=False)

    def __init__(self, *args: Any, blueprint: Blueprint, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._present = lines.values(blueprint.config)
        above = overview.inherited(blueprint)
        for cvar in cvars.ALL:
            self.fields[cvar.name] = _field(cvar, self._present.get(cvar.name), above.get(cvar.name))
        for name in values.FILES:
            self.fields[name] = forms.CharField(
                label=_TEXTS[name][0],
                initial=getattr(blueprint, name),
                required=False,
                help_text=_TEXTS[name][1],
                widget=forms.Textarea(attrs={"rows": 6, "spellcheck": "false"}),
                validators=[game_texts.is_game_text],
            )
        self.fields["version"].initial = blueprint.version
        # Blank means what the game does without the line, so that no field is called optional.
        self.conditional = tuple(self.fields)

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        for name, value in self.changes(given).items():
            if value is not None and (fault := cvars.problem(name, value)):
                self.add_error(name, fault)
        return given

    def changes(self, given: Mapping[str, Any] | None = None) -> dict[str, str | None]:
        """The settings that differ from the lines; None for one whose lines are to go."""
        given = self.cleaned_data if given is None else given
        return {
            name: cvars.normal(name, given[name]) or None
            for name in cvars.BY_NAME
            if name in given and given[name].strip() != self._present.get(name, "").strip()
        }

    def texts(self) -> dict[str, str]:
        return {name: self.cleaned_data[name] for name in values.FILES}

    @property
    def general(self) -> list[forms.BoundField]:
        return [self[cvar.name] for cvar in cvars.ALL]


_TEXTS = {
    "motd": (
        gettext_lazy("Message of the day"),
        gettext_lazy("What players see when they join (motd.txt): text, a page in HTML, or an address."),
    ),
    "banner": (
        gettext_lazy("Banner"),
        gettext_lazy("What players see above the list of players (host.txt): text, a page in HTML, or an address."),
    ),
}


def _field(cvar: IdentityCvar, present: str | None, above: Inherited | None) -> forms.Field:
    common: dict[str, Any] = {
        "label": cvar.label,
        "initial": present or "",
        "required": False,
        "help_text": cvar.help,
    }
    if not cvar.choices:
        placeholder = _from(above.value, above) if above else ""
        return forms.CharField(widget=forms.TextInput(attrs={"placeholder": placeholder}), **common)
    labels = dict(cvar.choices)
    default = above.value if above else cvar.default
    shown = str(labels.get(default, default))
    blank = _("Not set") if not shown else _("Not set: %s") % (_from(shown, above) if above else shown)
    choices = [("", blank), *cvar.choices]
    if present and present not in labels:
        # What somebody wrote into the lines stays.
        choices.append((present, present))
    return forms.ChoiceField(choices=choices, **common)


def _from(value: str, above: Inherited) -> str:
    return _("%(value)s (%(source)s)") % {"value": value, "source": above.source}
