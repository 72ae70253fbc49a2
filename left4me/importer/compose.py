"""Compose files of Docker: which services are game servers, their launch lines, and their mounted folders."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, Final

import yaml
from django.utils.translation import gettext as _

from left4me.core.files.tree import Parts
from left4me.importer import launch
from left4me.importer.launch import Launch
from left4me.importer.layout import COMPOSE, Game, Mount
from left4me.importer.source import Source
from servers.blueprints import shell

_IS_GAME: Final = re.compile(r"l4d2|left-?_?4-?_?dead-?_?2|srcds", re.IGNORECASE)
_IN_CONTAINER: Final = re.compile(r".*/left4dead2(?:/(.*))?\Z", re.IGNORECASE)
_VARIABLE: Final = re.compile(r"\$\{(\w+)(?::?[-?]([^}]*))?\}|\$(\w+)")
_LARGEST: Final = 128 * 1024
_MOST_NODES: Final = 20_000
# The variables by which images of this game call the same thing.
_PORT: Final = ("L4D2_SERVER_PORT", "L4D2_PORT", "SRCDS_PORT", "SERVER_PORT", "GAME_PORT", "PORT")
_MAP: Final = (
    *("L4D2_SERVER_MAP", "L4D2_MAP", "SRCDS_STARTMAP", "SRCDS_MAP", "DEFAULT_MAP"),
    *("START_MAP", "STARTMAP", "SERVER_MAP", "MAP"),
)
_MODE: Final = ("L4D2_GAMEMODE", "SRCDS_GAMEMODE", "DEFAULT_MODE", "GAMEMODE", "GAME_MODE", "MODE")
_SLOTS: Final = (
    *("L4D2_SERVER_MAXPLAYERS", "L4D2_PLAYERS", "SRCDS_MAXPLAYERS", "MAX_PLAYERS"),
    *("MAXPLAYERS", "PLAYERS"),
)
_NAME: Final = (
    *("L4D2_SERVER_HOSTNAME", "L4D2_HOSTNAME", "SRCDS_HOSTNAME", "SERVER_HOSTNAME"),
    *("SERVER_NAME", "SERVERNAME", "HOSTNAME"),
)
_TICKRATE: Final = ("L4D2_TICKRATE", "SRCDS_TICKRATE", "TICKRATE")
_STARTUP: Final = ("STARTUP", "START_COMMAND")
_EXTRA: Final = ("EXTRA_ARGS", "ADDITIONAL_ARGS", "SRCDS_ARGS", "ARGS")
# Settings of the game by the variables that set them.
_SETTINGS: Final = {
    "REGION": "sv_region",
    "SRCDS_REGION": "sv_region",
    "STEAM_GROUP": "sv_steamgroup",
    "STEAMGROUP": "sv_steamgroup",
    "GAME_TYPES": "sv_gametypes",
    "SEARCH_KEY": "sv_search_key",
    "L4D2_DIFFICULTY": "z_difficulty",
    "DIFFICULTY": "z_difficulty",
}
_CVAR: Final = "CVAR_"


def services(source: Source) -> dict[str, dict[str, Any]]:
    """The services of the compose file that are servers of this game, by name, with values in place of variables."""
    where = next(((name,) for name in COMPOSE if source.is_file((name,))), None)
    text = source.text(where) if where else ""
    if not text or len(text) > _LARGEST:
        return {}
    try:
        found = _load(_substituted(text, shell.assignments(source.text((".env",)))))
    except (yaml.YAMLError, RecursionError, ValueError, TypeError):
        return {}
    listed = found.get("services") if isinstance(found, dict) else None
    return {
        str(name): service
        for name, service in (listed.items() if isinstance(listed, dict) else ())
        if isinstance(service, dict) and _IS_GAME.search(f"{name} {_shown(service)}")
    }


def _load(text: str) -> Any:
    """The values of a YAML text. Raises ValueError for one whose aliases would make it much larger."""
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        sizes: dict[int, int] = {}
        if node is None or _expanded_size(node, sizes) > _MOST_NODES:
            raise ValueError("too large")
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _expanded_size(node: yaml.Node, sizes: dict[int, int]) -> int:
    """How many values a node holds with its aliases written out. One that holds itself has no end."""
    if id(node) in sizes:
        return sizes[id(node)]
    sizes[id(node)] = _MOST_NODES + 1
    children: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        children = [child for pair in node.value for child in pair]
    elif isinstance(node, yaml.SequenceNode):
        children = node.value
    sizes[id(node)] = 1 + sum(_expanded_size(child, sizes) for child in children)
    return sizes[id(node)]


def games(source: Source) -> list[Game]:
    """A game's folder for each service that mounts parts of it from the source."""
    found = []
    for name, service in services(source).items():
        mounts, notes = [], []
        for text, target in _volumes(service):
            where = _relative(text)
            if where is None or not (source.is_folder(where) or source.is_file(where)):
                notes.append(_("%(path)s is mounted from elsewhere. Import it by itself.") % {"path": text})
            else:
                mounts.append(Mount(where, target))
        if mounts:
            # What is mounted deeper lies above what is mounted further up.
            mounts.sort(key=lambda mount: -len(mount.target))
            found.append(Game(tuple(mounts), name, notes=tuple(notes)))
    return found


def launches(source: Source, name: str | None = None) -> list[Launch]:
    """The launches of all services, or of the one with this name."""
    found = services(source)
    chosen = {name: found[name]} if name in found else found
    return [each for service, given in chosen.items() for each in _of_service(source, service, given)]


def _of_service(source: Source, name: str, service: Mapping[str, Any]) -> list[Launch]:
    values = _environment(source, service)
    origin = f"{next(file for file in COMPOSE if source.is_file((file,)))}: {name}"
    config = [_setting(setting, values[key]) for key, setting in _SETTINGS.items() if values.get(key)]
    config += [
        _setting(key.removeprefix(_CVAR).lower(), value)
        for key, value in values.items()
        if key.startswith(_CVAR) and key.isidentifier()
    ]
    assigned = [f'{key}="{value}"' for key, value in values.items() if '"' not in value]
    command = _first(values, _STARTUP) or _command(service.get("command")) or _command(service.get("entrypoint"))
    options = [
        f"-port {port}" if (port := _first(values, _PORT) or _published(service)) else "",
        _start_map(values),
        f"-maxplayers {slots}" if (slots := _first(values, _SLOTS)) else "",
        f"-tickrate {rate}" if (rate := _first(values, _TICKRATE)) else "",
        _first(values, _EXTRA),
    ]
    if command and ("srcds" in command or command.lstrip()[:1] in "+-"):
        line = command if "srcds" in command else f"srcds_run {command}"
        # What the command sets itself comes later and wins.
        line = re.sub(r"(srcds\S*)", lambda match: " ".join([match[1], *filter(None, options)]), line, count=1)
    else:
        line = " ".join(["srcds_run -game left4dead2", *filter(None, options)])
    known = {"name": _first(values, _NAME), "config": tuple(config)}
    return launch.of_text("\n".join([*assigned, line]), origin=origin, **known)[:1]


def _start_map(values: Mapping[str, str]) -> str:
    name, mode = _first(values, _MAP), _first(values, _MODE)
    if name and mode:
        return f"+map {name} {mode}"
    return f"+map {name}" if name else f"+mp_gamemode {mode}" if mode else ""


def _environment(source: Source, service: Mapping[str, Any]) -> dict[str, str]:
    files = service.get("env_file") or []
    values: dict[str, str] = {}
    for file in [files] if isinstance(files, str) else files if isinstance(files, list) else ():
        path = file.get("path", "") if isinstance(file, dict) else str(file)
        if (where := _relative(path)) is not None:
            values |= shell.assignments(source.text(where))
    given = service.get("environment") or {}
    if isinstance(given, list):
        given = dict(str(each).split("=", 1) for each in given if "=" in str(each))
    if isinstance(given, dict):
        values |= {str(key): str(value) for key, value in given.items() if value is not None}
    return {key.upper(): value.replace("\n", " ").strip() for key, value in values.items()}


def _volumes(service: Mapping[str, Any]) -> Iterator[tuple[str, Parts]]:
    """The mounted paths, each with its place below the game's folder."""
    for volume in _listed(service.get("volumes")):
        if isinstance(volume, dict):
            path, target = str(volume.get("source", "")), str(volume.get("target", ""))
        else:
            path, target = (*str(volume).split(":"), "")[:2]
        if match := _IN_CONTAINER.fullmatch(target.rstrip("/")):
            yield path, tuple(part for part in (match[1] or "").split("/") if part)


def _setting(name: str, value: str) -> str:
    """A line of server.cfg; a quotation mark in the value would end it."""
    return f'{name} "{value.replace(chr(34), "")}"'


def _listed(given: Any) -> list[Any]:
    return given if isinstance(given, list) else []


def _relative(text: str) -> Parts | None:
    """The parts of a path below the compose file; None for a named volume, and for a path that leads elsewhere."""
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or not text.strip():
        return None
    return path.parts or None


def _command(given: Any) -> str:
    return " ".join(map(str, given)) if isinstance(given, list) else str(given or "")


def _published(service: Mapping[str, Any]) -> str:
    """The first port that is published, as the machine's clients see it."""
    for port in _listed(service.get("ports")):
        text = str(port.get("published", "")) if isinstance(port, dict) else str(port).partition("/")[0]
        parts = text.split(":")
        if (found := parts[-2] if len(parts) > 1 else parts[0]).isdigit():
            return found
    return ""


def _first(values: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((values[name] for name in names if values.get(name)), "")


def _substituted(text: str, values: Mapping[str, str]) -> str:
    """The text with the values of its variables; those that are unknown have their default, or stay."""

    def value(match: re.Match[str]) -> str:
        return values.get((match[1] or match[3]).lower()) or match[2] or match[0]

    return _VARIABLE.sub(value, text)


def _shown(service: Mapping[str, Any]) -> str:
    return " ".join(str(service.get(key, "")) for key in ("image", "command", "container_name", "volumes", "build"))
