"""Forms of rotations and queues."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from livestate.rotation import entries
from livestate.rotation.models import LONGEST_WAIT, MOST_ROUNDS, SHORTEST_WAIT, Rotation
from servers.blueprints.maps import Chapter


class EntryForm(forms.Form):
    """A campaign or a map to add."""

    entry = forms.ChoiceField(label=_("Campaign or map"))

    def __init__(self, *, chapters: Mapping[str, Chapter], id_prefix: str) -> None:
        super().__init__(auto_id=f"{id_prefix}-%s")
        self.fields["entry"].choices = entries.choices(chapters)  # type: ignore[attr-defined]


class RotationForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Rotation
        fields = ("is_on", "sequence", "repeats", "wait_seconds", "survival_rounds")
        help_texts = {
            "wait_seconds": _("Players are told what comes next, and an operator can cancel it."),
            "survival_rounds": _("Survival has no end of its own: the next map comes after so many rounds."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, lowest, highest in (
            ("wait_seconds", SHORTEST_WAIT, LONGEST_WAIT),
            ("survival_rounds", 1, MOST_ROUNDS),
        ):
            self.fields[name].widget.attrs |= {"min": lowest, "max": highest}
