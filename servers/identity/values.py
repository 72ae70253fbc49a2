"""The identity of a server as its rows have it, and as its running game has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from servers.identity import hostnames, lines
from servers.models import Blueprint, Server

# The files of the texts, below the game. Releases of the engine look in one folder or the other first.
FILES: Final[dict[str, tuple[str, str]]] = {
    "motd": ("left4dead2/motd.txt", "left4dead2/cfg/motd.txt"),
    "banner": ("left4dead2/host.txt", "left4dead2/cfg/host.txt"),
}
# The settings that name the files of the texts, and the files that the game reads without them.
FILE_CVARS: Final = {"motd": ("motdfile", "motd.txt"), "banner": ("hostfile", "host.txt")}


def wanted(server: Server, blueprint: Blueprint) -> dict[str, str]:
    """The values that the lines of the blueprint set, by name, with the server's own name in the game."""
    return filled(lines.values(blueprint.config), server)


def filled(found: Mapping[str, str], server: Server) -> dict[str, str]:
    """These values, with the pattern of names filled in."""
    pattern = {"hostname": hostnames.of_server(found["hostname"], server)} if "hostname" in found else {}
    return {**found, **pattern}


def texts(blueprint: Blueprint) -> dict[str, str]:
    """The texts that are not empty, by the names of their fields."""
    return {name: text for name in FILES if (text := getattr(blueprint, name))}


def complete(applied: Mapping[str, Any]) -> dict[str, Any]:
    """What a start applied, also if an older release stored it, which kept these settings among the other lines."""
    if "identity" in applied:
        return {"texts": [], **applied}
    config, found = lines.split(applied.get("config", []))
    return {**applied, "config": config, "identity": found, "texts": []}


def running(applied: Mapping[str, Any]) -> dict[str, str]:
    """The values in a running game: those of its start, and those that it has taken over since."""
    return {**applied["identity"], **applied.get("live", {})}


def as_lines(found: Mapping[str, str]) -> list[str]:
    """The values as lines of a cfg, for pages of changes."""
    return [f'{name} "{value}"' for name, value in sorted(found.items())]
