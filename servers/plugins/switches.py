"""Which plugins a server enables and disables for itself, and the files that its next start shows at other paths.

A switch is kept by the path that the plugin has when it is enabled. Plugins in `optional` have none: others load
them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from overlays.plugins import finder
from overlays.plugins.finder import DISABLED, FOLDER, Plugin
from servers.gamehost import shadows
from servers.hosts import this_host
from servers.hosts.start_parts import StartPart
from servers.models import Server

MOST: Final = 500

Switches = Mapping[str, bool]


def key(path: str) -> str:
    """The path of a plugin once it is enabled; empty for one that has no switch."""
    enabled = path.removeprefix(f"{DISABLED}/")
    return enabled if finder.is_enabled(enabled) else ""


def apply(plugins: Sequence[Plugin], switches: Switches) -> list[Plugin]:
    """The plugins at the paths that they have with these switches."""
    moves = _moves(plugins, switches)
    taken = set(moves.values())
    moved = [
        replace(plugin, path=moves.get(plugin.path, plugin.path))
        for plugin in plugins
        # What is moved to this path hides it.
        if plugin.path in moves or plugin.path not in taken
    ]
    return sorted(moved, key=lambda plugin: finder.order(plugin.path))


def for_start(server: Server, layers: Sequence[Path]) -> StartPart:
    """The files that move for a start with these layers, the topmost first."""
    if not server.plugin_switches:
        return StartPart()
    upper = this_host.storage().of(server.pk).upper
    plugins = finder.find([upper, *layers], is_opaque=shadows.is_opaque)
    moves = _moves(plugins, server.plugin_switches)
    return StartPart(moved={_below_game(old): _below_game(new) for old, new in moves.items()})


def of_moved(moved: Mapping[str, str]) -> dict[str, bool]:
    """The switches with which a start was made, by the files that moved for it."""
    prefix = _below_game("")
    paths = ((old.removeprefix(prefix), new.removeprefix(prefix)) for old, new in moved.items())
    return {key(old): finder.is_enabled(new) for old, new in paths if key(old)}


def _moves(plugins: Sequence[Plugin], switches: Switches) -> dict[str, str]:
    """The paths that change, each with its new one."""
    paths = {plugin.path for plugin in plugins}
    moves = {}
    for path, is_enabled in switches.items():
        disabled = f"{DISABLED}/{path}"
        if not is_enabled and path in paths:
            moves[path] = disabled
        elif is_enabled and disabled in paths and path not in paths:
            moves[disabled] = path
    return moves


def _below_game(path: str) -> str:
    return "/".join((*FOLDER, path))
