"""The form of a plugin's cvars, made from its cfg file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.utils.translation import gettext as _

from overlays.plugins import cfg


class PluginSettingsForm(forms.Form):
    """A field for each cvar, with its description and limits; `changes` are the values that differ."""

    def __init__(self, *args: Any, settings: Sequence[Mapping[str, Any]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._shown = {each["name"]: each["value"] for each in settings}
        for each in settings:
            self.fields[each["name"]] = forms.CharField(
                label=each["name"],
                initial=each["value"],
                required=False,
                max_length=cfg.LONGEST_VALUE,
                help_text=_help(each),
                strip=False,
            )

        # An empty text is a value like others, so that no field is called optional.
        self.conditional = tuple(self.fields)

    def changes(self) -> dict[str, str]:
        return {name: value for name, value in self.cleaned_data.items() if value != self._shown[name]}


def _help(setting: Mapping[str, Any]) -> str:
    """The description, then the default and the limits."""
    facts = []
    if setting["default"] is not None:
        facts.append(_("Default: %s") % (setting["default"] or "“”"))
    if setting["minimum"] is not None:
        facts.append(_("Minimum: %s") % f"{setting['minimum']:g}")
    if setting["maximum"] is not None:
        facts.append(_("Maximum: %s") % f"{setting['maximum']:g}")
    return "\n".join(part for part in (setting["description"], " · ".join(facts)) if part)
