"""The form field in which a map is chosen by campaign."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django import forms
from django.utils.functional import Promise

from servers.blueprints import maps


class MapSelect(forms.Select):
    """A choice of maps by campaign, with pictures where there are scripts. Its form sets `campaigns`."""

    template_name = "servers/_map_widget.html"

    def __init__(self, *, blank: str | Promise = "") -> None:
        super().__init__()
        self.blank = blank
        self.campaigns: list[tuple[str, list[maps.Chapter]]] = []

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        given = context["widget"]["attrs"]
        context["widget"] |= {
            "campaigns": self.campaigns,
            "chosen": str(value or ""),
            "blank": self.blank,
            "attributes": {key: each for key, each in given.items() if key != "id"},
        }
        return context


class MapField(forms.ChoiceField):
    """A map of the game itself, or of an overlay of these blueprints."""

    widget: MapSelect

    def __init__(self, *, blank: str | Promise = "", **kwargs: Any) -> None:
        super().__init__(widget=MapSelect(blank=blank), required=False, **kwargs)

    def offer(self, blueprint_ids: Collection[int], *, besides: str = "") -> None:
        """Offer the maps that servers of these blueprints have; `besides` is one that was chosen before."""
        offered = {name: chapter for each in maps.added(blueprint_ids).values() for name, chapter in each.items()}
        offered |= maps.stock()
        if besides and besides not in offered:
            offered[besides] = maps.Chapter(besides, "", "")
        self.choices = [("", ""), *((name, chapter.title) for name, chapter in offered.items())]
        self.widget.campaigns = maps.grouped(offered)
