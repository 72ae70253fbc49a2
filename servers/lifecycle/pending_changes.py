"""The changes that a restart would apply: the difference between what a game was started with and its rows now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from servers.blueprints.differences import Change, lines
from servers.lifecycle import launch_plan
from servers.models import Server
from servers.models.connect_ports import DEFAULT_CONNECT_PORTS

_FIELDS = (
    *("name", "port", "tv_port", "game_version", "connect_ports", "allow_ptrace"),
    # Of runs only: a restart does not apply them.
    *("blueprint_name", "host", "restart_when_hung"),
)

# The values of games that an older release started: it did not store them.
_DEFAULTS = {"tv_port": None, "connect_ports": DEFAULT_CONNECT_PORTS, "allow_ptrace": False}


def current(server: Server) -> dict[str, Any]:
    """What a start now would apply; no query when the server came from `with_blueprint`."""
    return launch_plan.applied(
        server=server,
        blueprint=server.blueprint,
        overlays=server.blueprint.layers,
        # A host that has not reported a version counts as unchanged.
        game_version=server.host.game_version or server.game_version,
    )


def can_be_behind(server: Server) -> bool:
    """Whether a game runs that was started with known values, which may be older than the rows."""
    return server.actual_state in {Server.State.RUNNING, Server.State.STARTING} and server.applied is not None


def restart_needed(server: Server) -> bool:
    """Whether a game runs with values older than its rows."""
    return can_be_behind(server) and _effect_differs(server)


def pending(server: Server) -> list[Change]:
    """The changes of the next start against the last one, in the order of the page; for a first start, everything."""
    before = server.applied or {"overlays": [], "arguments": [], "config": []}
    return differences(before, current(server), new_password=_password_differs(server))


def differences(before: Mapping[str, Any], after: Mapping[str, Any], *, new_password: bool = False) -> list[Change]:
    """The changes from what one start applied to what another does, in the order of the page."""
    before = {**_DEFAULTS, **before}
    changes = [
        Change(area="settings", before=_setting(field, before), after=_setting(field, after))
        for field in _FIELDS
        if before.get(field) != after.get(field)
    ]
    if new_password:
        changes.append(Change(area="settings", after=_("New RCON password")))
    changes += lines("overlays", _overlay_lines(before), _overlay_lines(after))
    changes += lines("arguments", before["arguments"], after["arguments"])
    changes += lines("config", before["config"], after["config"])
    return changes


def _effect_differs(server: Server) -> bool:
    return _password_differs(server) or _effect(server.applied or {}) != _effect(current(server))


def _effect(applied: dict[str, Any]) -> dict[str, Any]:
    """The values without those that have no effect in a game: the names of overlays."""
    layers = [{**overlay, "name": ""} for overlay in applied.get("overlays", [])]
    return {**_DEFAULTS, **applied, "overlays": layers}


def _password_differs(server: Server) -> bool:
    # Sealing the same password twice gives two different texts. A start stores the sealed text itself, so that an
    # equal text means an unchanged password.
    started_with = server.applied_sealed_rcon_password
    return bool(started_with) and started_with != server.sealed_rcon_password


def _setting(field: str, applied: Mapping[str, Any]) -> str:
    if not applied.get(field):
        return ""
    formats = {
        "name": _("Name: %s"),
        "port": _("Port: %s"),
        "tv_port": _("SourceTV port: %s"),
        "game_version": _("Game version: %s"),
        "connect_ports": _("Outgoing ports: %s"),
        "allow_ptrace": _("Crash reporters allowed%.0s"),
        "blueprint_name": _("Blueprint: %s"),
        "host": _("Host: %s"),
        "restart_when_hung": _("Restart if unresponsive%.0s"),
    }
    return formats[field] % str(applied[field])


def _overlay_lines(applied: Mapping[str, Any]) -> list[str]:
    return [
        _("%(name)s (version %(version)d%(cfg)s)")
        % {
            "name": overlay["name"],
            "version": overlay["content_version"],
            "cfg": _(", with its server.cfg") if overlay["expose_cfg"] else "",
        }
        for overlay in applied["overlays"]
    ]
