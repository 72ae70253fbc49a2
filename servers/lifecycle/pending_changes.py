"""The changes that a restart would apply: the difference between what a game was started with and its rows now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from servers.blueprints.differences import Change, lines
from servers.identity import values
from servers.lifecycle import launch_plan
from servers.models import Server
from servers.models.connect_ports import DEFAULT_CONNECT_PORTS

_FIELDS = (
    *("name", "port", "sourcetv", "tv_port", "game_version", "connect_ports", "allow_ptrace"),
    # Of runs only: a restart does not apply them.
    *("blueprint_name", "host", "restart_when_hung"),
)

# The values of games that an older release started: it did not store them.
_DEFAULTS: dict[str, Any] = {
    "tv_port": None,
    "sourcetv": False,
    "connect_ports": DEFAULT_CONNECT_PORTS,
    "allow_ptrace": False,
    "plugins": {},
    "plugin_files": [],
}
_TEXTS = {"motd": "motd.txt", "banner": "host.txt"}


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
    before, after = _complete(before), _complete(after)
    without = {"name"} if _names_stand_in_lines(before, after) else set()
    changes = [
        Change(area="settings", before=_setting(field, before), after=_setting(field, after))
        for field in _FIELDS
        if before.get(field) != after.get(field) and field not in without
    ]
    if new_password:
        changes.append(Change(area="settings", after=_("New RCON password")))
    changes += lines("plugins", _plugin_lines(before), _plugin_lines(after))
    changes += lines("overlays", _overlay_lines(before), _overlay_lines(after))
    changes += lines("arguments", before["arguments"], after["arguments"])
    changes += lines("config", before["config"], after["config"])
    changes += lines("config", *(values.as_lines(values.running(each)) for each in (before, after)))
    changes += lines("texts", *([_TEXTS[name] for name in each["texts"]] for each in (before, after)))
    return changes


def _effect_differs(server: Server) -> bool:
    before, after = _complete(server.applied or {}), _complete(current(server))
    if _names_stand_in_lines(before, after):
        before["name"] = after["name"]
    return _password_differs(server) or _effect(before) != _effect(after)


def _effect(applied: dict[str, Any]) -> dict[str, Any]:
    """The values without those that have no effect in a game: the names of overlays."""
    layers = [{**overlay, "name": ""} for overlay in applied.get("overlays", [])]
    return {**applied, "overlays": layers, "identity": values.running(applied), "live": {}}


def _complete(applied: Mapping[str, Any]) -> dict[str, Any]:
    return {**_DEFAULTS, **values.complete(applied)}


def _names_stand_in_lines(*starts: Mapping[str, Any]) -> bool:
    """Whether the server's own name has no effect in either start but through the lines of its blueprint."""
    return all("hostname" in each["identity"] for each in starts)


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
        "sourcetv": _("SourceTV%.0s"),
        "tv_port": _("SourceTV port: %s"),
        "game_version": _("Game version: %s"),
        "connect_ports": _("Outgoing ports: %s"),
        "allow_ptrace": _("Crash reporters allowed%.0s"),
        "blueprint_name": _("Blueprint: %s"),
        "host": _("Host: %s"),
        "restart_when_hung": _("Restart if unresponsive%.0s"),
    }
    return formats[field] % str(applied[field])


def _plugin_lines(applied: Mapping[str, Any]) -> list[str]:
    switched = [
        _("%s enabled") % path if is_enabled else _("%s disabled") % path
        for path, is_enabled in sorted(applied["plugins"].items())
    ]
    return switched + [_("Settings in %s") % file for file in applied["plugin_files"]]


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
