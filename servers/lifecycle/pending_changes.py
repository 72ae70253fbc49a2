"""What a restart would change: the difference between what a game was started with and what the rows say now."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from django.utils.translation import gettext as _

from servers.lifecycle import spec
from servers.models import Server

_FIELDS = ("name", "port", "game_version")


@dataclass(frozen=True, kw_only=True)
class Change:
    """One line of the diff: `before` is empty for what comes, `after` for what goes."""

    area: str  # settings, overlays, arguments, config
    before: str = ""
    after: str = ""


def current(server: Server) -> dict[str, Any]:
    """What a start now would apply; no query when the server came from `with_blueprint`."""
    return spec.applied(
        server=server,
        blueprint=server.blueprint,
        overlays=server.blueprint.layers,
        # A host that does not say which version it has changes nothing.
        game_version=server.host.game_version or server.game_version,
    )


def can_be_behind(server: Server) -> bool:
    """Whether there is a game that could run with something older than the rows say."""
    return server.actual_state in {Server.State.RUNNING, Server.State.STARTING} and server.applied is not None


def restart_needed(server: Server) -> bool:
    """Whether a running game is older than what its rows say."""
    return can_be_behind(server) and _effect_differs(server)


def pending(server: Server) -> list[Change]:
    """What the next start changes against the last one, in the order of the page; all that is for a first start."""
    before = server.applied or {"overlays": [], "arguments": [], "config": []}
    after = current(server)
    changes = [
        Change(area="settings", before=_setting(field, before), after=_setting(field, after))
        for field in _FIELDS
        if before.get(field) != after.get(field)
    ]
    if _password_differs(server):
        changes.append(Change(area="settings", after=_("a new RCON password")))
    changes += _lines("overlays", _overlay_lines(before), _overlay_lines(after))
    changes += _lines("arguments", before["arguments"], after["arguments"])
    changes += _lines("config", before["config"], after["config"])
    return changes


def _effect_differs(server: Server) -> bool:
    return _password_differs(server) or _effect(server.applied or {}) != _effect(current(server))


def _effect(applied: dict[str, Any]) -> dict[str, Any]:
    """Without what changes nothing in a game: an overlay's name."""
    layers = [{**overlay, "name": ""} for overlay in applied.get("overlays", [])]
    return {**applied, "overlays": layers}


def _password_differs(server: Server) -> bool:
    # Sealing the same password twice gives two texts; a start keeps the very text, so equal means unchanged.
    kept = server.applied_sealed_rcon_password
    return bool(kept) and kept != server.sealed_rcon_password


def _setting(field: str, applied: dict[str, Any]) -> str:
    if not applied.get(field):
        return ""
    words = {"name": _("name %s"), "port": _("port %s"), "game_version": _("game version %s")}
    return words[field] % str(applied[field])


def _overlay_lines(applied: dict[str, Any]) -> list[str]:
    return [
        _("%(name)s (content %(version)d%(cfg)s)")
        % {
            "name": overlay["name"],
            "version": overlay["content_version"],
            "cfg": _(", with its server.cfg") if overlay["expose_cfg"] else "",
        }
        for overlay in applied["overlays"]
    ]


def _lines(area: str, before: list[str], after: list[str]) -> list[Change]:
    changes: list[Change] = []
    for tag, old_from, old_to, new_from, new_to in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag != "equal":
            changes += [Change(area=area, before=line) for line in before[old_from:old_to]]
            changes += [Change(area=area, after=line) for line in after[new_from:new_to]]
    return changes
