"""Rows of matches, and a competitive pack of the shape of real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from left4me.testing import smx_files
from livestate.matches.models import Match
from overlays import match_modes
from overlays.match_modes import MatchMode
from overlays.models import Overlay, OverlayMatchModes
from servers.models import Server

MODE = MatchMode(code="arena", title="Arena 1.0", group="Arenas", config="Arena v1.0", game_mode="versus")

MATCH_MODES = """
"MatchModes"
{
    "Arenas" { "arena" { "name" "Arena 1.0" } "arena1v1" { "name" "1v1 Arena" } }
    "Others" { "gone" { "name" "Not in the pack" } }
}
"""
CONFOGL = """// Settings of the mode
l4d_ready_cfg_name "Arena v1.0"
confogl_addcvar mp_gamemode "versus"
confogl_addcvar survivor_limit 4
confogl_addcvar l4d_ready_enabled 1
exec cfgogl/arena/shared_settings.cfg
"""
DUEL = """confogl_addcvar l4d_ready_cfg_name "1v1 Arena"   // the pack keeps it
confogl_addcvar mp_gamemode versus
confogl_addcvar survivor_limit 1
confogl_addcvar l4d_ready_enabled 1
"""
OFF = "l4d_ready_enabled 0\n"

PACK: dict[str, bytes] = {
    "addons/sourcemod/configs/matchmodes.txt": MATCH_MODES.encode(),
    "addons/sourcemod/plugins/confoglcompmod.smx": smx_files.plugin("Confogl"),
    "addons/sourcemod/plugins/optional/l4d2_playstats.smx": smx_files.plugin("Player Statistics"),
    "addons/sourcemod/plugins/optional/readyup.smx": smx_files.plugin("Ready-Up"),
    "cfg/cfgogl/arena/confogl.cfg": CONFOGL.encode(),
    "cfg/cfgogl/arena/confogl_off.cfg": OFF.encode(),
    "cfg/cfgogl/arena/confogl_plugins.cfg": b"sm plugins load optional/readyup.smx\n",
    "cfg/cfgogl/arena/shared_settings.cfg": b"confogl_addcvar sv_alltalk 1\n",
    "cfg/cfgogl/arena1v1/confogl.cfg": DUEL.encode(),
    "cfg/cfgogl/arena1v1/confogl_off.cfg": OFF.encode(),
    # What several modes share: no mode.
    "cfg/cfgogl/shared/shared_plugins.cfg": b"sm plugins load optional/readyup.smx\n",
}


def lay(tree: Path) -> list[str]:
    """Put the pack into an overlay's directory; returns the paths."""
    paths = []
    for name, content in PACK.items():
        path = tree / "left4dead2" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        paths.append(f"left4dead2/{name}")
    return paths


def offer(overlay: Overlay, *modes: MatchMode) -> None:
    """Have the overlay bring these modes, as after a build."""
    rows = [{name: getattr(mode, name) for name in match_modes.MatchMode.__dataclass_fields__} for mode in modes]
    names = {mode.code: [mode.title, mode.group] for mode in modes}
    OverlayMatchModes.objects.update_or_create(overlay=overlay, defaults={"modes": rows, "names": names})


def make_match(server: Server, **fields: Any) -> Match:
    given = {
        "mode": MODE.code,
        "mode_title": MODE.title,
        "config": MODE.config,
        "wanted_players": MODE.players,
        "state": Match.State.LIVE,
        **fields,
    }
    return Match.objects.create(server=server, **given)
