"""What kind of installation a directory is, and where in it the game's folders are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from left4me.core.files.tree import Parts
from left4me.importer.source import Source
from overlays import game_files

_DEEPEST: Final = 5
_SIGNS: Final = game_files.GAME_FOLDERS | game_files.GAME_FILES
# Folders in which no installation is looked for: programs, copies of old states, and what the game itself brings.
_PASSED: Final = frozenset(
    ["steamcmd", ".steam", "steam", ".git", "lgsm", "log", "logs", "backup", "backups", "node_modules", "proc", "sys"]
) | {*game_files.INSTALLATION_FOLDERS}
LINUXGSM: Final = "linuxgsm"
PANEL: Final = "pterodactyl"
DOCKER: Final = "docker"
PLAIN: Final = "plain"
_PANEL_SIGNS: Final = frozenset([".steamcmd", ".pteroignore", ".pelicanignore"])
COMPOSE: Final = ("docker-compose.yml", "docker-compose.yaml", "compose.yml", "compose.yaml")


@dataclass(frozen=True)
class Mount:
    """A folder or file of the source, and where it is in the game's folder."""

    source: Parts
    target: Parts = ()


@dataclass(frozen=True)
class Game:
    """One folder of the game: the parts of the source that make it up. Its own files win over mounted ones."""

    mounts: tuple[Mount, ...]
    name: str
    # Where start scripts and settings of this installation are looked for.
    home: Parts = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def folder(self) -> Parts:
        return self.mounts[0].source


def kind_of(source: Source) -> str:
    """The tool that made the directory, as far as its top shows."""
    names = {entry.where[-1].lower() for entry in source.list()}
    if "lgsm" in names or source.is_folder(("config-lgsm",)):
        return LINUXGSM
    if names & set(COMPOSE) or "dockerfile" in names:
        return DOCKER
    is_volume = "volumes" in source.path.parts and {"pterodactyl", "pelican"} & set(source.path.parts)
    is_egg = any(name.startswith("egg") and name.endswith(".json") for name in names)
    return PANEL if is_volume or is_egg or names & _PANEL_SIGNS else PLAIN


def find_games(source: Source) -> list[Game]:
    """The game's folders in the source, in the order of their paths; the source itself may be one."""
    found = _search(source, ())
    if not found and _is_game(source, ()):
        return [Game((Mount(()),), source.path.name)]
    return [Game((Mount(where),), _name(source, where), home=where[:-1]) for where in found]


def _search(source: Source, where: Parts) -> list[Parts]:
    found: list[Parts] = []
    folders = [entry.where for entry in source.list(where) if entry.kind == "folder"]
    for folder in folders:
        if folder[-1].lower() == game_files.GAME and _is_game(source, folder):
            found.append(folder)
    if found:
        return found
    for folder in folders:
        if len(folder) < _DEEPEST and folder[-1].lower() not in _PASSED:
            found += _search(source, folder)
    return found


def _is_game(source: Source, where: Parts) -> bool:
    names = {entry.where[-1].lower() for entry in source.list(where)}
    return "gameinfo.txt" in names or len(names & _SIGNS) >= 2


def _name(source: Source, where: Parts) -> str:
    """The name of the installation: the folder above the game's, unless tools always call it so."""
    usual = {"serverfiles", "server", "serverfiles-l4d2", "l4d2", "l4d2server", "volumes", "data", "game"}
    for part in reversed(where[:-1]):
        if part.lower() not in usual:
            return part
    return source.path.name
