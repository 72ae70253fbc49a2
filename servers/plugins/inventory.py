"""The plugins of a server as its next start shows them, found on its host in its layers."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from left4me.core import secrets
from overlays.plugins import finder
from overlays.plugins.finder import Plugin
from overlays.replication import layers as replication_layers
from servers.game_access import admins_file
from servers.gamehost import rcon, shadows
from servers.hosts import this_host
from servers.hosts.rpc import Reply
from servers.models import Server
from servers.plugins import console, errors, switches

# What pages show for the server's own files.
OWN: Final = ""
_RCON_SECONDS: Final = 4.0


@dataclass(frozen=True)
class Layer:
    """A directory of plugins, with the name of its overlay or OWN."""

    name: str
    path: Path


def layers(server: Server) -> list[Layer]:
    """The writable layer and the overlays that are on this host, the topmost first. The game has no plugins."""
    overlays = server.blueprint.layers
    trees = replication_layers.present(overlays)
    own = Layer(OWN, this_host.storage().of(server.pk).upper)
    return [own, *(Layer(overlay.name, trees[overlay.pk]) for overlay in overlays if overlay.pk in trees)]


def find(of: list[Layer]) -> list[Plugin]:
    return finder.find([layer.path for layer in of], is_opaque=shadows.is_opaque)


def missing(plugins: list[Plugin], extensions: set[str]) -> dict[str, list[str]]:
    """By the path of each enabled plugin, the files that it needs and that are not there or not enabled."""
    loaded = {plugin.file.lower() for plugin in plugins if plugin.is_enabled}
    found = {}
    for plugin in plugins:
        if not plugin.is_enabled:
            continue
        absent = [file for file in plugin.info.plugins if file.lower() not in loaded]
        absent += [file for file in plugin.info.extensions if file.lower() not in extensions]
        if absent:
            found[plugin.path] = absent
    return found


def running(server: Server, plugins: list[Plugin]) -> dict[str, Any] | None:
    """What the running game says of its plugins; None if it does not run or does not answer."""
    if server.actual_state != Server.State.RUNNING:
        return None

    ask = functools.partial(this_host.ask_game, server, timeout=_RCON_SECONDS)
    try:
        loaded = console.read(ask, plugins)
        version = console.version(ask)
    except (rcon.RconError, secrets.Unreadable) as fault:
        return {"version": "", "loaded": None, "problem": str(server.masker(str(fault)))}
    except console.NoSourceMod:
        return {"version": "", "loaded": None, "problem": ""}
    return {"version": version, "loaded": {path: each.facts() for path, each in loaded.items()}, "problem": ""}


def _present(server: Server, found: list[Plugin]) -> list[Plugin]:
    """The plugins at the paths that they have in the game that runs."""
    return switches.apply(found, switches.of_moved(this_host.storage().of(server.pk).read_moved()))


def of_server(server: Server) -> list[Plugin]:
    """The plugins at the paths that they have in the game that runs."""
    return _present(server, find(layers(server)))


def answer(*, server: int) -> Reply | None:
    """What pages and the API show."""
    row = Server.objects.select_related("blueprint").filter(pk=server).first()
    if row is None:
        return None
    of = layers(row)
    paths = [layer.path for layer in of]
    found = find(of)
    plugins = switches.apply(found, row.plugin_switches)
    present = _present(row, found)
    now = running(row, present) or {}
    loaded: dict[str, Any] | None = now.get("loaded")
    absent = missing(plugins, finder.extensions(paths))
    present_paths = {_identity(plugin): plugin.path for plugin in present}

    def facts(plugin: Plugin) -> dict[str, Any]:
        here = present_paths.get(_identity(plugin), plugin.path)
        return {
            **plugin.facts(),
            "overlay": of[plugin.layer].name,
            "missing": absent.get(plugin.path, []),
            "switch": switches.key(plugin.path),
            "is_switched": switches.key(plugin.path) in row.plugin_switches,
            "present_path": here,
            "loaded": (loaded or {}).get(here),
        }

    return Reply(
        {
            "has_sourcemod": admins_file.has_sourcemod(paths),
            "version": now.get("version", ""),
            # Without an answer of the game nothing is known of what it has loaded.
            "is_known": loaded is not None,
            "problem": now.get("problem", ""),
            "plugins": [facts(plugin) for plugin in plugins],
            "errors": errors.read(of[0].path, since=row.started_at),
            # Loaded from files that are not there any more, such as after a change of an overlay.
            "gone": sorted(set(loaded or {}) - {plugin.path for plugin in present}),
        }
    )


def _identity(plugin: Plugin) -> tuple[int, str]:
    """What stays the same of a plugin, whether it is enabled or not."""
    return plugin.layer, switches.key(plugin.path) or plugin.path
