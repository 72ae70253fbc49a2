"""Line by line differences, as the pages of changes show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

# In the order of pages.
AREAS: dict[str, str | Promise] = {
    "settings": _("Settings"),
    "plugins": _("Plugins"),
    "overlays": _("Overlays"),
    "items": _("Workshop items"),
    "arguments": _("Launch arguments"),
    "config": "server.cfg",
    "texts": _("Texts for players"),
    "access": _("Admins and who may join"),
}


@dataclass(frozen=True, kw_only=True)
class Change:
    """One line of the diff. `before` is empty for an addition, `after` for a removal."""

    area: str  # a code of AREAS
    before: str = ""
    after: str = ""

    @property
    def area_label(self) -> str | Promise:
        return AREAS[self.area]


def lines(area: str, before: Sequence[str], after: Sequence[str]) -> list[Change]:
    """The lines that were removed and added, in order. Blank lines have no effect and are left out."""
    changes: list[Change] = []
    for tag, old_from, old_to, new_from, new_to in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag != "equal":
            changes += [Change(area=area, before=line) for line in before[old_from:old_to] if line]
            changes += [Change(area=area, after=line) for line in after[new_from:new_to] if line]
    return changes
