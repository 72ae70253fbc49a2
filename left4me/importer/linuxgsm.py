"""Settings of LinuxGSM: one file for each instance, above those for all of them and the defaults."""

from __future__ import annotations

from typing import Final

from left4me.core.files.tree import Parts
from left4me.importer import launch
from left4me.importer.launch import Launch
from left4me.importer.layout import Game
from left4me.importer.source import Source
from servers.blueprints import shell

_CONFIG: Final = ("lgsm", "config-lgsm", "l4d2server")
_SHARED: Final = ("_default.cfg", "common.cfg")
# What the defaults say, should their file be missing.
_DEFAULTS: Final = {
    "ip": "0.0.0.0",  # noqa: S104 -- read by nobody: left4me sets the address
    "port": "27015",
    "defaultmap": "c5m1_waterfront",
    "maxplayers": "8",
    "startparameters": (
        "-game left4dead2 -port ${port} +map ${defaultmap} +servercfgfile ${servercfg} -maxplayers ${maxplayers}"
    ),
}
_PARAMETERS: Final = ("startparameters", "parms")


def launches(source: Source, game: Game) -> list[Launch]:
    """One launch for each instance of the installation that holds this game's folder."""
    home = _home(source, game.home)
    if home is None:
        return []
    folder = (*home, *_CONFIG)
    shared: dict[str, str] = dict(_DEFAULTS)
    for name in _SHARED:
        shared |= shell.assignments(source.text((*folder, name)))
    found: list[Launch] = []
    for instance, where in _instances(source, home, folder):
        values = {"servercfg": f"{instance}.cfg", **shared, **shell.assignments(source.text(where))}
        values |= {"selfname": instance, "servername": instance}
        found += launch.of_text(_text(values), origin="/".join(where))[:1]
    return found


def _home(source: Source, home: Parts) -> Parts | None:
    """The folder of LinuxGSM above that of the game."""
    return next((home[:n] for n in range(len(home), -1, -1) if source.is_folder((*home[:n], *_CONFIG[:2]))), None)


def _instances(source: Source, home: Parts, folder: Parts) -> list[tuple[str, Parts]]:
    names = [entry.where for entry in source.list(folder) if entry.kind == "file"]
    own = [
        (where[-1].removesuffix(".cfg"), where)
        for where in names
        if where[-1].endswith(".cfg") and where[-1] not in _SHARED and not where[-1].startswith("secrets-")
    ]
    own.sort()
    return own or [("l4d2server", (*folder, "l4d2server.cfg"))]


def _text(values: dict[str, str]) -> str:
    """The values as assignments, the launch line last, so that the final value of each variable counts."""
    parameters = next((values[name] for name in _PARAMETERS if values.get(name)), "")
    lines = [f'{name}="{value}"' for name, value in values.items() if name not in _PARAMETERS]
    return "\n".join([*lines, f'startparameters="{parameters}"'])
