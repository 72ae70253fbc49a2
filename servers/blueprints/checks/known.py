"""The settings and commands of the stock game, from a shipped list, so that typos are found before a match."""

from __future__ import annotations

from dataclasses import dataclass
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

# SourceMod's and its plugins' own. A plugin names its settings as it likes, so an unknown name is no fault.
_PLUGIN_FAMILIES = ("sm_", "l4d_", "l4d2_", "mm_", "confogl_", "left4dhooks_", "sbpp_", "abm_", "l4dtoolz_")

# Below this length, one letter makes another word.
_LEAST_LETTERS = 6


@dataclass(frozen=True)
class Known:
    """A setting or command; `default` and `help` are empty where they are not described."""

    name: str
    default: str = ""
    help: str = ""


@cache
def names() -> frozenset[str]:
    """Settings and commands that a server.cfg may use without SourceMod, in lower case."""
    return frozenset(word.lower() for line in _lines("cvars.txt") for word in line.split())


@cache
def _described() -> dict[str, Known]:
    return {known.name: known for known in (Known(*line.split("|")) for line in _lines("cvar_help.txt"))}


def _lines(file: str) -> list[str]:
    lines = (Path(__file__).parent / file).read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def complete(typed: str, *, most: int = 8) -> list[Known]:
    """Names that contain `typed`: those that begin with it and those that are described come first."""
    typed = typed.lower()
    described = _described()
    found = [name for name in names() | described.keys() if typed in name]
    found.sort(key=lambda name: (not name.startswith(typed), name not in described, name))
    return [described.get(name, Known(name)) for name in found[:most]]


def is_listed(name: str) -> bool:
    return name in names()


def is_known(name: str) -> bool:
    return name in names() or name.startswith(_PLUGIN_FAMILIES)


def may_need_sourcemod(name: str) -> bool:
    """Whether it is probably a cheat or hidden, so that the game ignores it without `sm_cvar`."""
    return name not in names() and name.startswith(_CHEAT_FAMILIES) and nearest(name) is None


def nearest(name: str) -> str | None:
    """The known name that differs from `name` by one slip of the keyboard; None when there is none.

    A name that only adds a word to a known one, or replaces one, may be a plugin's.
    """
    name = name.lower()
    if len(name) < _LEAST_LETTERS or name in names():
        return None
    close = get_close_matches(name, names(), n=3, cutoff=0.85)
    return next((each for each in close if _is_one_slip(name, each)), None)


def _is_one_slip(typed: str, meant: str) -> bool:
    """Whether one letter is missing, doubled, wrong, or two neighbours are exchanged; a number is no slip."""
    if abs(len(typed) - len(meant)) > 1:
        return False
    start = next(
        (at for at, (a, b) in enumerate(zip(typed, meant, strict=False)) if a != b), min(len(typed), len(meant))
    )
    rest, other = typed[start:], meant[start:]
    if any(char.isdigit() for char in rest[:1] + other[:1]):
        return False
    is_exchanged = rest[:2] == other[:2][::-1] and rest[2:] == other[2:]
    return rest[1:] == other or rest == other[1:] or (len(rest) > 1 and rest[1:] == other[1:]) or is_exchanged
