"""What the game expects in its tree: names of folders and files, texts that it reads as UTF-8, programs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from left4me.core import texts
from left4me.core.files.tree import BadPath, Parts, Tree

GAME: Final = "left4dead2"
# What stands in the game's folder. A folder that holds one of these is taken for the game's.
GAME_FOLDERS: Final = frozenset(
    [
        "addons",
        "cfg",
        "ems",
        "expressions",
        "maps",
        "materials",
        "media",
        "missions",
        "models",
        "modes",
        "particles",
        "resource",
        "scenes",
        "scripts",
        "sound",
        "stripper",
        "transitions",
    ]
)
GAME_FILES: Final = frozenset(
    ["gameinfo.txt", "host.txt", "mapcycle.txt", "maplist.txt", "motd.txt", "motd_default.txt", "server.cfg"]
)
# Also in the game's folder, but no sign of it: other packs have folders of these names.
_RARE_FOLDERS: Final = frozenset(["bin", "custom", "demos", "gfx", "logs", "shaders", "soundcache"])
# What stands beside the game's folder in an installed server.
INSTALLATION_FOLDERS: Final = frozenset(
    ["bin", "hl2", "left4dead2_dlc1", "left4dead2_dlc2", "left4dead2_dlc3", "platform", "update"]
)
# Folders of SourceMod and Metamod by the folder of the game's that they belong in.
MOD_FOLDERS: Final = {
    "metamod": ("addons",),
    "sourcemod": ("addons",),
    **dict.fromkeys(
        ["configs", "data", "extensions", "gamedata", "logs", "plugins", "scripting", "translations"],
        ("addons", "sourcemod"),
    ),
}
# Those of them that show a root; “data” and the like may be anything.
MOD_ROOTS: Final = frozenset(MOD_FOLDERS) - {"configs", "data", "logs"}
# Folders further down whose letter case matters to the game, SourceMod or Metamod. Key: the path so far, folded.
KNOWN_FOLDERS: Final = frozenset(
    (GAME, *path.split("/"))
    for path in (
        "addons/metamod",
        "addons/metamod/bin",
        "addons/sourcemod",
        "addons/sourcemod/bin",
        "addons/sourcemod/configs",
        "addons/sourcemod/configs/geoip",
        "addons/sourcemod/data",
        "addons/sourcemod/extensions",
        "addons/sourcemod/gamedata",
        "addons/sourcemod/logs",
        "addons/sourcemod/plugins",
        "addons/sourcemod/plugins/disabled",
        "addons/sourcemod/plugins/optional",
        "addons/sourcemod/scripting",
        "addons/sourcemod/scripting/include",
        "addons/sourcemod/translations",
        "addons/stripper",
        "addons/stripper/maps",
        "addons/workshop",
        "cfg/cfgogl",
        "cfg/sourcemod",
        "cfg/stripper",
        "scripts/vscripts",
        "stripper/maps",
    )
)
# Files that are looked up by their exact name. Key: folded path below the game's folder.
KNOWN_FILES: Final = frozenset(
    [
        "addons/metamod.vdf",
        "addons/metamod_x64.vdf",
        "addons/metamod/metaplugins.ini",
        "addons/metamod/sourcemod.vdf",
        "addons/sourcemod/configs/admin_groups.cfg",
        "addons/sourcemod/configs/admin_overrides.cfg",
        "addons/sourcemod/configs/admins.cfg",
        "addons/sourcemod/configs/admins_simple.ini",
        "addons/sourcemod/configs/core.cfg",
        "addons/sourcemod/configs/databases.cfg",
        "addons/sourcemod/configs/maplists.cfg",
        "cfg/autoexec.cfg",
        "cfg/banned_ip.cfg",
        "cfg/banned_user.cfg",
        "cfg/listenserver.cfg",
        "cfg/server.cfg",
        "cfg/valve.rc",
        "gameinfo.txt",
        "host.txt",
        "mapcycle.txt",
        "maplist.txt",
        "motd.txt",
        "motd_default.txt",
        "server.cfg",
    ]
)
# An overlay that brings one of these replaces the program that serves every player.
_PROGRAMS: Final = re.compile(
    r"srcds(_run|_linux|_i486|_amd|_run_64|\.exe)?(\.sh)?|steamcmd(\.sh|\.exe)?|(.*/)?bin/.*\.(so|dll|exe)(\.\d+)*",
    re.IGNORECASE,
)
# Larger files are no texts that a person wrote.
LARGEST: Final = 1024 * 1024
_TITLES: Final = {"utf_8_sig": "UTF-8 with a byte order mark", "utf_16_le": "UTF-16", "utf_16_be": "UTF-16"}
_ELF: Final = b"\x7fELF"
_SCRIPT: Final = b"#!"
# Texts are also in the game's folder itself, such as mapcycle.txt. Those below `resource` are UTF-16 and stay so.
_TEXT_FOLDERS: Final = frozenset(["missions", "addons", "cfg", "stripper", "scripts"])


def is_read_by_game(folder: str) -> bool:
    """Whether the game reads anything in a folder of an overlay, given as its first two parts."""
    top, _slash, below = folder.lower().partition("/")
    if is_installation(top):
        return not below or below in GAME_FOLDERS or below in _RARE_FOLDERS
    return top in INSTALLATION_FOLDERS


def is_installation(folder: str) -> bool:
    """Whether a folder of this name, in lower case, is the game's, or that of one of its additions."""
    return folder == GAME or folder.startswith(f"{GAME}_dlc")


def is_program(where: Parts) -> bool:
    """Whether a file at this path of an overlay would be a program of the game itself."""
    below = "/".join(where[1:] if where[:1] == (GAME,) else where)
    return not below.lower().startswith("addons/") and _PROGRAMS.fullmatch(below) is not None


def needs_converting(where: Parts, content: bytes) -> bool:
    """Whether this is a text that the game reads as UTF-8, but with a byte order mark or in UTF-16."""
    return is_read_as_utf8(where) and texts.is_unexecutable(content)


def is_read_as_utf8(where: Parts) -> bool:
    name = where[-1].lower()
    if name.endswith(".cfg"):
        return True
    if where[0] != GAME or not name.endswith((".txt", ".ini", ".vdf", ".nut")):
        return False
    return len(where) == 2 or where[1].lower() in _TEXT_FOLDERS


def convert_all(tree: Tree, paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Convert the texts among `paths` that the game could not read; yields each path with what it was in."""
    for path in paths:
        where = tuple(path.split("/"))
        if not is_read_as_utf8(where):
            continue
        try:
            with tree.open(where) as stream:
                raw = stream.read(LARGEST + 1)
        except BadPath:
            continue
        if len(raw) <= LARGEST and texts.is_unexecutable(raw):
            decoded = texts.decode(raw)
            with tree.writing(where) as target:
                target.write(decoded.text.encode())
            yield path, title(decoded.encoding)


def title(encoding: str) -> str:
    """What the log of a job says instead of Python's name of an encoding."""
    return _TITLES.get(encoding, encoding)


def is_executable(where: Parts, head: bytes, *, is_marked: bool = False) -> bool:
    """Whether a file must be executable: an ELF program, a script that names its interpreter, or one marked as such.

    A mark counts only for a name without a suffix: some programs mark every file that they pack.
    """
    if head.startswith((_ELF, _SCRIPT)):
        return True
    return is_marked and "." not in where[-1]
