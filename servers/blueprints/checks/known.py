"""The settings and commands of the stock game, from a shipped list, so that typos are found before a match."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from pathlib import Path

# Nearly every setting of these families is marked as a cheat: in server.cfg it stays without effect.
_CHEAT_FAMILIES = (
    *("adrenaline_", "ammo_", "boomer_", "chainsaw_", "charger_", "claw_", "director_", "first_aid_", "gascan_"),
    *("grenadelauncher_", "hunter_", "inferno_", "jockey_", "melee_", "molotov_", "nb_", "pain_pills_", "pipe_bomb_"),
    *("rescue_", "scavenge_", "smoker_", "spitter_", "survival_", "survivor_", "tank_", "tongue_", "upgrade_"),
    *("versus_", "vomitjar_", "vs_", "witch_", "z_"),
)

# SourceMod's and its plugins' own.
_PLUGIN_FAMILIES = ("sm_", "l4d_", "l4d2_", "mm_", "confogl_", "left4dhooks_", "sbpp_", "abm_", "l4dtoolz_")


@cache
def names() -> frozenset[str]:
    """Settings and commands that a server.cfg may use without SourceMod, in lower case."""
    lines = (Path(__file__).parent / "cvars.txt").read_text("utf-8").splitlines()
    return frozenset(word.lower() for line in lines if not line.startswith("#") for word in line.split())


def is_known(name: str) -> bool:
    return name in names() or name.startswith(_PLUGIN_FAMILIES) or needs_sourcemod(name)


def needs_sourcemod(name: str) -> bool:
    """Whether it is a cheat or hidden, so that the game ignores it without `sm_cvar`."""
    return name not in names() and name.startswith(_CHEAT_FAMILIES)


def nearest(name: str) -> str | None:
    """The known name that a misspelt one probably stands for."""
    close = get_close_matches(name, names(), n=1, cutoff=0.8)
    return close[0] if close else None
