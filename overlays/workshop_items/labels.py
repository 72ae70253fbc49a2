"""What the pages say about a workshop item's state and about what its file was found to hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from workshop.models import WorkshopItem

TONES = {
    WorkshopItem.State.CACHED: "ok",
    WorkshopItem.State.STALE: "warn",
    WorkshopItem.State.MISSING: "idle",
    WorkshopItem.State.DOWNLOADING: "busy",
    WorkshopItem.State.FAILED: "bad",
}

_WARNINGS: dict[str, tuple[str | Promise, str | Promise]] = {
    "global_scripts": (
        _("Scripts for every map"),
        _("These scripts run on every map of the server, not only on this item's own."),
    ),
    "game_scripts": (
        _("Changes the game's rules"),
        _("These files replace game modes or weapons for every map of the server."),
    ),
    "replaces_game_files": (
        _("Replaces game files"),
        _("These files of the game look or behave differently with this item."),
    ),
    "no_string_table": (
        _("No string table"),
        _("These maps lack stringtable_dictionary.dct; players who join may crash. Its author can mend that."),
    ),
}


@dataclass(frozen=True)
class Warned:
    title: str | Promise
    words: str | Promise
    names: tuple[str, ...]
    more: int


def warnings(found: Iterable[Mapping[str, Any]]) -> list[Warned]:
    """The warnings of an item as a page shows them; unknown codes are left out."""
    shown = []
    for notice in found:
        if notice.get("code") in _WARNINGS:
            title, words = _WARNINGS[notice["code"]]
            names = tuple(notice.get("names", ()))
            shown.append(Warned(title, words, names, max(0, notice.get("count", 0) - len(names))))
    return shown
