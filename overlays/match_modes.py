"""The match modes of competitive packs: the folders of `cfg/cfgogl` in overlays, and the names that packs give them.

A pack loads the folder that `sm_forcematch` names, and executes its `confogl.cfg`, which often executes files that
several modes share. Folders without that file hold nothing else. The content is untrusted, so files are read up to a
limit of their number and size.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from left4me.core import texts
from left4me.core.files import tree as trees
from left4me.core.files.tree import BadPath, Parts, Tree
from left4me.core.natural_order import natural_key
from overlays.game_files import GAME
from overlays.models import Overlay, OverlayMatchModes
from workshop import keyvalues

_CFG: Final = (GAME, "cfg")
_FOLDER: Final = (*_CFG, "cfgogl")
_STARTS: Final = "confogl.cfg"
_NAMES: Final = (GAME, "addons", "sourcemod", "configs", "matchmodes.txt")
_MOST: Final = 200
_LARGEST: Final = 256 * 1024
_LONGEST_NAME: Final = 100
LONGEST_CODE: Final = 32
# What may follow a console command without quotes.
CODE: Final = re.compile(rf"[A-Za-z0-9_-]{{1,{LONGEST_CODE}}}")
# Keeps a setting for as long as the match lasts, whatever lines after it say: its first line counts.
_KEEPER: Final = "confogl_addcvar"
_EXECUTES: Final = frozenset({"exec", "execifexists"})
_COMMAND: Final = re.compile(
    rf"^[ \t]*(?:({_KEEPER}|sm_cvar)[ \t]+)?"
    r'"?(exec|execifexists|l4d_ready_cfg_name|mp_gamemode|survivor_limit)"?[ \t]+'
    r'(?:"([^"\r\n]*)"|((?:(?!//)[^\s";])+))',
    re.MULTILINE | re.IGNORECASE,
)
# Of the files that a mode executes, one within the other and all together. Real packs need four and six.
_DEEPEST: Final = 8
_MOST_FILES: Final = 40
# Game modes in which nobody plays the infected. Others, also those that addons bring, are taken for ones of two teams.
_ONE_TEAM: Final = frozenset(
    ["coop", "realism", "survival"]
    + [f"mutation{number}" for number in (*range(1, 11), 14, 16, 17, 20)]
    + [f"community{number}" for number in (1, 2, 4, 5)]
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
        """The players of a full match: of both teams, or of the only one."""
        return self.team_size if self.game_mode.lower() in _ONE_TEAM else 2 * self.team_size


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
    return [_read_mode(where[3], _Settings(tree, where).values()) for where in sorted(starts)[:_MOST]]


class _Settings:
    """What a mode sets: in its own file and in those that this one executes, in the order of the game."""

    def __init__(self, tree: Tree, where: Parts) -> None:
        self._tree, self._files = tree, 0
        self._set: dict[str, str] = {}
        self._kept: dict[str, str] = {}
        self._execute(where, depth=0)

    def values(self) -> dict[str, str]:
        return {**self._set, **self._kept}

    def _execute(self, where: Parts, *, depth: int) -> None:
        if self._files >= _MOST_FILES or depth >= _DEEPEST:
            return
        self._files += 1
        for keeper, command, quoted, bare in _COMMAND.findall(_read(self._tree, where)):
            name, value = command.lower(), quoted or bare
            if name in _EXECUTES:
                self._execute(_file(value), depth=depth + 1)
            elif keeper.lower() == _KEEPER:
                self._kept.setdefault(name, value)
            else:
                # The last line counts, as in the game.
                self._set[name] = value


def _file(named: str) -> Parts:
    """The file that `exec` names, below the folder of cfg files, where `.cfg` may be left out."""
    try:
        below = trees.parts(named)
    except BadPath:
        return ()
    return (*_CFG, *below[:-1], below[-1] if "." in below[-1] else f"{below[-1]}.cfg") if below else ()


def _read_mode(code: str, values: dict[str, str]) -> MatchMode:
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
    if not where:
        return ""
    try:
        with tree.open(where) as stream:
            return texts.decode(stream.read(_LARGEST)).text
    except BadPath:
        return ""


def _plain(text: str) -> str:
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())[:_LONGEST_NAME]
