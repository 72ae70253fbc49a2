"""Texts and colours of pages for the state and the warnings of workshop items."""

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
        _("These scripts run on every map of the server, not only on this item's maps."),
    ),
    "game_scripts": (
        _("Changes the game's rules"),
        _("These files replace game modes or weapons for every map of the server."),
    ),
    "replaces_game_files": (
        _("Replaces game files"),
        _("These files replace the game's own; they look or behave differently."),
    ),
    "several_files": (
        _("Split into several files"),
        _("Some builds of the game load only single-file VPKs. If maps are missing, repack it as one file."),
    ),
    "not_loaded": (
        _("Not loaded by the game"),
        _("The game loads VPKs only from this folder. Move the file there."),
    ),
    "no_string_table": (
        _("No string table"),
        _("These maps lack stringtable_dictionary.dct, so joining players may crash. Only the author can fix this."),
    ),
}


@dataclass(frozen=True)
class WarningLabel:
    """A warning as a page shows it: the first affected `names`, and how many `more` there are."""

    title: str | Promise
    words: str | Promise
    names: tuple[str, ...]
    more: int


def warnings(notices: Iterable[Mapping[str, Any]]) -> list[WarningLabel]:
    """The labels of an item's warnings; unknown codes are left out."""
    shown = []
    for notice in notices:
        if notice.get("code") in _WARNINGS:
            title, words = _WARNINGS[notice["code"]]
            names = tuple(notice.get("names", ()))
            shown.append(WarningLabel(title, words, names, max(0, notice.get("count", 0) - len(names))))
    return shown
