"""Versions of blueprints: their content, and the difference between two of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

from django.utils.translation import gettext as _

from overlays.models import Overlay
from servers.blueprints.checks import config_lines
from servers.blueprints.differences import Change, lines
from servers.game_access import lists
from servers.models import Blueprint, BlueprintVersion

_SEARCHED: Final = 20
FIELDS: Final = ("name", "description", "arguments", "config", "motd", "banner", "connect_ports", "allow_ptrace")


def content(blueprint: Blueprint, overlays: Sequence[Overlay]) -> dict[str, Any]:
    """What a version keeps of a blueprint with these overlays, the topmost first, and of its lists of people."""
    layers = [
        {"id": overlay.pk, "name": overlay.name, "content_version": overlay.content_version} for overlay in overlays
    ]
    fields = {name: getattr(blueprint, name) for name in FIELDS}
    return {**fields, "overlays": layers, "access": lists.content(blueprint)}


def last_change(blueprint: Blueprint) -> tuple[BlueprintVersion, BlueprintVersion] | None:
    """The newest version that changed what games run, and the one before it."""
    newest = list(blueprint.versions.select_related("user")[:_SEARCHED])
    return next((pair for pair in pairwise(newest) if _effect(pair[0].content) != _effect(pair[1].content)), None)


def _effect(content: dict[str, Any]) -> dict[str, Any]:
    """What a start applies. Lists of people apply while games run, and content of overlays is not the blueprint's."""
    fields = {name: content.get(name, "") for name in FIELDS if name not in {"name", "description"}}
    return {**fields, "overlays": [layer["id"] for layer in content["overlays"]]}


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[Change]:
    """The changes from one content to another, by area."""
    changes = lines("settings", _settings(before), _settings(after))
    changes += lines("overlays", _names(before), _names(after))
    for area in ("arguments", "config"):
        changes += lines(area, config_lines(before[area]), config_lines(after[area]))
    # Versions that an older release kept have no texts, and no people.
    for name in ("motd", "banner"):
        changes += lines("texts", before.get(name, "").split("\n"), after.get(name, "").split("\n"))
    if "access" in before and "access" in after:
        changes += lines("access", lists.lines(before["access"]), lists.lines(after["access"]))
    return changes


def _names(content: dict[str, Any]) -> list[str]:
    return [
        _("%(name)s (content %(version)d)") % {"name": layer["name"], "version": layer["content_version"]}
        for layer in content["overlays"]
    ]


def _settings(content: dict[str, Any]) -> list[str]:
    found = [_("name: %s") % content["name"], _("network ports: %s") % content["connect_ports"]]
    if content["description"]:
        found += [_("description: %s") % line for line in content["description"].splitlines()]
    if content["allow_ptrace"]:
        found.append(_("crash reporters may trace the game"))
    return found
