"""The form that plans a match on a server."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, cast

from django import forms
from django.utils.translation import gettext_lazy as _

from livestate.matches.models import LONGEST_EMPTY_MINUTES, MOST_PLAYERS
from overlays.match_modes import MatchMode
from servers.blueprints.map_field import MapField
from servers.models import Server

LOADS = [
    ("ready", _("As soon as enough players are ready")),
    ("hand", _("When an operator presses Load")),
    ("now", _("Now")),
]


class ModeField(forms.ChoiceField):
    """A mode of the pack, in the groups in which the pack offers them."""

    def offer(self, modes: Sequence[MatchMode]) -> None:
        choices: list[Any] = []
        for group, members in groupby(modes, key=lambda mode: mode.group):
            options = [(mode.code, mode.title) for mode in members]
            choices += [(group, options)] if group else options
        self.choices = choices


class MatchForm(forms.Form):
    mode = ModeField(label=_("Mode"))
    map = MapField(label=_("Map"), blank=_("The map that is being played"))
    load = forms.ChoiceField(label=_("Load"), choices=LOADS, initial="ready")
    players = forms.IntegerField(
        label=_("Players"),
        required=False,
        min_value=1,
        max_value=MOST_PLAYERS,
        help_text=_("Leave blank for full teams of the mode."),
    )
    empty_minutes = forms.IntegerField(
        label=_("Minutes until an empty match ends"), initial=5, min_value=1, max_value=LONGEST_EMPTY_MINUTES
    )

    def __init__(self, *args: Any, server: Server, modes: Sequence[MatchMode], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        cast(ModeField, self.fields["mode"]).offer(modes)
        cast(MapField, self.fields["map"]).offer([server.blueprint_id])

    def given(self) -> dict[str, Any]:
        """The arguments of `actions.create`."""
        values = self.cleaned_data
        return {
            "mode": values["mode"],
            "map_name": values["map"],
            "load": values["load"],
            "wanted_players": values["players"],
            "empty_minutes": values["empty_minutes"],
        }
