"""The parts of SourceMod that a tree with SourceMod answers with: admins of admins_simple.ini, and reserved slots."""

from __future__ import annotations

import os
import shlex

from .grammar import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .engine import Engine

_ROOT = "left4dead2/addons/sourcemod"
# SourceMod reads so many bytes at a time: the rest of a longer line is a line of its own.
_LINE = 254


def is_installed() -> bool:
    return os.path.isdir(_ROOT)


class SourceModCommands:
    """sm_reloadadmins, sm_who, and sm_reserved_slots where that plugin is enabled."""

    def __init__(self, engine: Engine) -> None:
        self._log = engine.log
        self._world = engine.world
        self._slots = "0"
        self._admins = _read_admins()
        if os.path.isfile(f"{_ROOT}/plugins/reservedslots.smx"):
            engine.console.commands["sm_reserved_slots"] = self._reserve

    def do_sm_reloadadmins(self, _command: Command) -> None:
        self._admins = _read_admins()
        self._log.print("[SM] Admin cache has been refreshed.\n")

    def do_sm_who(self, _command: Command) -> None:
        rows = [f"    {'Name':<24.23} {'Username':<18.17} Admin access"]
        for number, player in enumerate(self._world.players, start=1):
            rights = self._admins.get(player.steam_id.partition(":")[2], "")
            flags = rights.rpartition(":")[2]
            shown = "root" if "z" in flags else flags or "none"
            rows.append(f"{number:2d}. {player.name:<24.23} {'':<18.17} {shown}")
        self._log.print("\n".join(rows) + "\n")

    def _reserve(self, command: Command) -> None:
        if command.args:
            self._slots = command.args[0]
        else:
            self._log.print(f'"sm_reserved_slots" = "{self._slots}"\n - Number of reserved player slots\n')


def _read_admins() -> dict[str, str]:
    """Rights by the Steam ID without its universe; the first line of a Steam ID counts."""
    try:
        with open(f"{_ROOT}/configs/admins_simple.ini", "rb") as file:
            data = file.read()
    except OSError:
        return {}
    admins: dict[str, str] = {}
    for raw in data.split(b"\n"):
        for start in range(0, max(1, len(raw)), _LINE):
            line = raw[start : start + _LINE].decode("utf-8", "replace").strip()
            if line.startswith(("//", ";")):
                continue
            try:
                words = shlex.split(line.partition("//")[0])
            except ValueError:
                continue
            if len(words) >= 2 and words[0].startswith("STEAM_"):
                admins.setdefault(words[0].partition(":")[2], words[1])
    return admins
