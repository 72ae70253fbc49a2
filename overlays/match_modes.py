"""The match modes of competitive packs: the folders of `cfg/cfgogl` in overlays, and the names that packs give them.

A pack loads the folder that `sm_forcematch` names, and executes its `confogl.cfg`. Folders without that file hold what
several modes share. The content is untrusted, so each file is read up to a limit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from left4me.core import texts
from left4me.core.files.tree import BadPath, Parts, Tree
from left4me.core.natural_order import natural_key
from overlays.game_files import GAME
from overlays.models import Overlay, OverlayMatchModes
from workshop import keyvalues

_FOLDER: Final = (GAME, "cfg", "cfgogl")
_STARTS: Final = "confogl.cfg"
_NAMES: Final = (GAME, "addons", "sourcemod", "configs", "matchmodes.txt")
_MOST: Final = 200
_LARGEST: Final = 256 * 1024
_LONGEST_NAME: Final = 100
LONGEST_CODE: Final = 32
# What may follow a console command without quotes.
CODE: Final = re.compile(rf"[A-Za-z0-9_-]{{1,{LONGEST_CODE}}}")
# A line of a cfg: the setting itself, or the pack's command that keeps the setting for as long as the match lasts.
_SETTING: Final = re.compile(
    r'^[ \t]*(?:(?:confogl_addcvar|sm_cvar)[ \t]+)?"?(l4d_ready_cfg_name|mp_gamemode|survivor_limit)"?[ \t]+'
    r'(?:"([^"\r\n]*)"|([^\s";/]+))',
    re.MULTILINE | re.IGNORECASE,
)
_TEAM: Final = 4
_LARGEST_TEAM: Final = 8


@dataclass(frozen=True, kw_only=True)
class MatchMode:
    """A mode that a match can be played in.

    `config` is what the ready-up plugin calls it while it is loaded, by which a game is recognised to have loaded it;
    empty when the pack does not say.
    """

    code: str
    title: str
    group: str = ""
    config: str = ""
    game_mode: str = ""
    team_size: int = _TEAM

    @property
    def players(self) -> int:
        """The players of both teams."""
        return 2 * self.team_size


def record(overlay: Overlay, paths: Iterable[str], *, tree: Tree) -> None:
    """Store the match modes among the files that a build found."""
    modes = [asdict(mode) for mode in _find(paths, tree)]
    names = _names(tree)
    if modes or names:
        OverlayMatchModes.objects.update_or_create(overlay=overlay, defaults={"modes": modes, "names": names})
    else:
        OverlayMatchModes.objects.filter(overlay=overlay).delete()


def of_layers(overlay_ids: Sequence[int]) -> list[MatchMode]:
    """The modes in these overlays, the topmost first: the upper of two with the same code counts, and of two names."""
    rows = OverlayMatchModes.objects.in_bulk(list(overlay_ids))
    found: dict[str, dict[str, Any]] = {}
    names: dict[str, list[str]] = {}
    for row in (rows[pk] for pk in overlay_ids if pk in rows):
        for mode in row.modes:
            found.setdefault(mode["code"], mode)
        for code, name in row.names.items():
            names.setdefault(code.lower(), name)
    modes = [_named(MatchMode(**mode), names.get(code.lower())) for code, mode in found.items()]
    order = {code: place for place, code in enumerate(names)}
    return sorted(modes, key=lambda mode: (order.get(mode.code.lower(), len(order)), natural_key(mode.title)))


def _named(mode: MatchMode, name: list[str] | None) -> MatchMode:
    title, group = name or ("", "")
    return MatchMode(**{**asdict(mode), "title": title or mode.config or mode.code, "group": group})


def _find(paths: Iterable[str], tree: Tree) -> list[MatchMode]:
    starts = []
    for path in paths:
        where = tuple(path.split("/"))
        if where[:3] == _FOLDER and len(where) == 5 and where[4] == _STARTS and CODE.fullmatch(where[3]):
            starts.append(where)
    return [_read_mode(where[3], _read(tree, where)) for where in sorted(starts)[:_MOST]]


def _read_mode(code: str, text: str) -> MatchMode:
    # The last line counts, as in the game.
    values = {name.lower(): quoted or bare for name, quoted, bare in _SETTING.findall(text)}
    limit = values.get("survivor_limit", "")
    size = int(limit) if limit.isascii() and limit.isdecimal() and len(limit) < 3 else _TEAM
    return MatchMode(
        code=code,
        title="",
        config=_plain(values.get("l4d_ready_cfg_name", "")),
        game_mode=_plain(values.get("mp_gamemode", ""))[:32],
        team_size=size if 1 <= size <= _LARGEST_TEAM else _TEAM,
    )


def _names(tree: Tree) -> dict[str, list[str]]:
    """By its code, the name and the group of each mode that players can vote for."""
    root = keyvalues.parse(_read(tree, _NAMES)).first("MatchModes")
    names: dict[str, list[str]] = {}
    for group in root.children if root else []:
        for mode in group.children:
            if CODE.fullmatch(mode.key) and len(names) < _MOST:
                names.setdefault(mode.key, [_plain(mode.text("name")), _plain(group.key)])
    return names


def _read(tree: Tree, where: Parts) -> str:
    try:
        with tree.open(where) as stream:
            return texts.decode(stream.read(_LARGEST)).text
    except BadPath:
        return ""


def _plain(text: str) -> str:
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())[:_LONGEST_NAME]
