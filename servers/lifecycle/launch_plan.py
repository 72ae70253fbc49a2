"""The launch plan of a server: what its next start runs, computed from its rows.

`compose` reads rows and files of this host. Everything below it is pure, so that pages can show what a start would do
and tests can compare the result with golden files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from overlays import paths
from overlays.models import Overlay
from servers.blueprints.checks import argument_options, argument_words, config_lines, left_out, parse
from servers.blueprints.checks.grammar import SHELL, Command, Parsed
from servers.gamehost.spec import Bind, InstanceSpec
from servers.hosts import start_parts
from servers.hosts.start_parts import StartPart
from servers.identity import hostnames, lines, values
from servers.lifecycle import runs
from servers.models import Blueprint, Server
from servers.models.connect_ports import parse_ports
from servers.sourcetv.options import Options

CFG_DIRECTORY = "left4dead2/cfg"
DEFAULT_MAP = "c1m1_hotel"
_NO_PART = StartPart()

# srcds reads these from its command line only.
_ONLY_ARGUMENTS = frozenset({"+map", "+maxplayers"})


@dataclass(frozen=True, kw_only=True)
class LaunchPlan:
    """One prepared start: the spec for the runtime, and the values that are stored on the server's row."""

    spec: InstanceSpec
    applied: dict[str, Any]
    sealed_rcon_password: str


@dataclass(frozen=True, kw_only=True)
class HostPaths:
    """The directories of the host that starts the server."""

    game: Path  # the game version to run
    overlays: Mapping[int, Path]  # each overlay's tree, by overlay id
    cache: Path  # workshop files


def compose(server: Server, *, layers: Sequence[Overlay], places: HostPaths, game_version: str) -> LaunchPlan:
    """Plan a start from the server's rows and from the exposed server.cfg files of `layers`, which are read here.

    Raises SpecInvalid for a server that cannot be run, and secrets.Unreadable for a password sealed with another key.
    """
    exposed = {overlay.pk: paths.read_cfg(places.overlays[overlay.pk]) for overlay in layers if overlay.expose_cfg}
    return LaunchPlan(
        spec=instance_spec(
            server=server,
            blueprint=server.blueprint,
            overlays=layers,
            overlay_cfgs={overlay: text for overlay, text in exposed.items() if text is not None},
            rcon_password=server.rcon_password,
            places=places,
            part=start_parts.of(server, [places.overlays[overlay.pk] for overlay in layers]),
        ),
        applied=applied(server=server, blueprint=server.blueprint, overlays=layers, game_version=game_version),
        sealed_rcon_password=server.sealed_rcon_password,
    )


def record_start(server: Server, plan: LaunchPlan, *, now: datetime) -> None:
    """Store what the game was started with; a later difference is what a restart would apply."""
    server.started_at = now
    server.game_version = plan.applied["game_version"]
    server.applied = plan.applied
    server.applied_sealed_rcon_password = plan.sealed_rcon_password
    server.save(update_fields=["started_at", "game_version", "applied", "applied_sealed_rcon_password"])
    runs.begin(server, plan.applied, now=now)


def instance_spec(
    *,
    server: Server,
    blueprint: Blueprint,
    overlays: Sequence[Overlay],
    overlay_cfgs: Mapping[int, str],
    rcon_password: str,
    places: HostPaths,
    part: StartPart = _NO_PART,
) -> InstanceSpec:
    """The spec that the runtime starts.

    `overlays` are the blueprint's, the topmost first. `overlay_cfgs` holds the server.cfg of those overlays that have
    one, by overlay id; `part` is what the application adds. Raises SpecInvalid for a server that no runtime could run.
    """
    exposed = [overlay for overlay in overlays if overlay.expose_cfg and overlay.pk in overlay_cfgs]
    generated = dict(part.files)
    generated |= {f"{CFG_DIRECTORY}/server_overlay_{overlay.pk}.cfg": overlay_cfgs[overlay.pk] for overlay in exposed}
    generated[f"{CFG_DIRECTORY}/server.cfg"] = server_cfg(
        name=server.name,
        number=server.number,
        exposed=[overlay.pk for overlay in exposed],
        arguments=blueprint.arguments,
        config=blueprint.config,
        rcon_password=rcon_password,
        tv_port=server.tv_port,
        more_lines=part.lines,
    )
    return InstanceSpec(
        server_id=server.pk,
        argv=arguments(
            port=server.port, tv_port=server.tv_port, text=blueprint.arguments, more_arguments=part.arguments
        ),
        layers=(*(str(places.overlays[overlay.pk]) for overlay in overlays), str(places.game)),
        port=server.port,
        generated=generated,
        replaceable=part.replaceable,
        moved=part.moved,
        # The links in workshop overlays are absolute: they lead to the same file in the sandbox as outside.
        binds=(Bind(source=str(places.cache), target=str(places.cache)),),
        connect_ports=parse_ports(blueprint.connect_ports),
        allow_ptrace=blueprint.allow_ptrace,
    )


def server_cfg(
    *,
    name: str,
    exposed: Sequence[int],
    config: str,
    rcon_password: str,
    number: int = 0,
    arguments: str = "",
    tv_port: int | None = None,
    more_lines: Sequence[str] = (),
) -> str:
    """The generated server.cfg.

    The engine takes the last assignment: the name is only a default, the topmost overlay wins over those below it, the
    blueprint over all overlays, and nothing over the ports and the password.
    """
    options = [option for option in _options(arguments) if _needs_config(option)]
    commands = [
        "// Written by left4me at every start. Change the blueprint instead.",
        f'hostname "{name}"',
        # The game executes them before server.cfg when they stand on its command line, so that server.cfg wins.
        *(_filled(parsed, name, number) for option in options for parsed in parse(_as_config(option))),
        # The bans of the server (livestate/bans/start_files.py), which `writeid` and `writeip` keep up to date.
        "exec banned_user.cfg",
        "exec banned_ip.cfg",
        *(f"exec server_overlay_{overlay}" for overlay in reversed(exposed)),
        *_effective(config, lambda command: _filled(command, name, number)),
        *([f"tv_port {tv_port}"] if tv_port else []),
        *more_lines,
        f'rcon_password "{rcon_password}"',
    ]
    return "\n".join(commands) + "\n"


def arguments(
    *, port: int, text: str, tv_port: int | None = None, more_arguments: Sequence[str] = ()
) -> tuple[str, ...]:
    """The argument list that is executed in the game's tree.

    Valve's srcds_run puts its arguments into one string and lets the shell split it again. Options whose values would
    not survive this are in server.cfg instead.
    """
    own_options = [option for option in _options(text) if not _needs_config(option)]
    has_map = any(option[0].lower() == "+map" for option in own_options)
    return (
        "./srcds_run",
        *("-game", "left4dead2"),
        *("-console", "-norestart", "-strictportbind"),
        # Without it the console's TCP port is bound to the address of the host's name, often 127.0.1.1.
        *("-ip", "0.0.0.0"),  # noqa: S104
        *("-port", str(port)),
        *(("+tv_port", str(tv_port)) if tv_port else ()),
        *more_arguments,
        *(() if has_map else ("+map", DEFAULT_MAP)),
        *(part for option in own_options for word in option for part in word.split() or [word]),
    )


def _options(text: str) -> list[Command]:
    return [option for line in config_lines(text) for option in argument_options(argument_words(line))]


def _needs_config(option: Command) -> bool:
    """Whether the shell would change the values of a +command: it splits at blanks and expands patterns."""
    name, *values = option
    if not name.startswith("+") or name.lower() in _ONLY_ARGUMENTS:
        return False
    # Before server.cfg, the server's own name in it would win.
    return name.lower() == "+hostname" or any(
        not value or any(char in value for char in " \t;'") or SHELL.search(value) for value in values
    )


def _as_config(option: Command) -> str:
    return " ".join([option[0][1:], *(f'"{value}"' for value in option[1:])])


def effective_lines(config: str) -> list[str]:
    """The commands that are executed, a line each for the lines of `config`, without comments.

    The game broke non-ASCII comments into commands.
    """
    return _effective(config, lambda command: command.text)


@lru_cache(maxsize=256)
def _split(config: str) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """`lines.split` of the effective lines. A list shows many servers of a few blueprints."""
    rest, identity = lines.split(effective_lines(config))
    return tuple(rest), MappingProxyType(identity)


def _effective(config: str, write: Callable[[Parsed], str]) -> list[str]:
    found = []
    for line in config_lines(config):
        executed = [write(command) for command in parse(line) if not left_out(command)]
        if executed:
            found.append("; ".join(executed))
    return found


def _filled(command: Parsed, name: str, number: int) -> str:
    """The command as text; the pattern of a hostname is filled in."""
    pattern = lines.value_of(command) if command.words[0].lower() == "hostname" else ""
    if not hostnames.has_placeholder(pattern):
        return command.text
    return f'hostname "{hostnames.fill(pattern, name=name, number=number)}"'


def applied(*, server: Server, blueprint: Blueprint, overlays: Sequence[Overlay], game_version: str) -> dict[str, Any]:
    """What a start now would apply, without secrets. Stored on the server's row, to show later changes against it."""
    config, identity = _split(blueprint.config)
    return {
        "name": server.name,
        "port": server.port,
        "game_version": game_version,
        "arguments": [
            " ".join(words) for line in config_lines(blueprint.arguments) if (words := argument_words(line))
        ],
        "config": list(config),
        # A running game takes other values over, and reads other texts where its start had one.
        "identity": values.filled(identity, server),
        "texts": sorted(values.texts(blueprint)),
        "tv_port": server.tv_port,
        # The rest of its options reaches a running game.
        "sourcetv": Options.of(server.sourcetv).is_enabled,
        "connect_ports": blueprint.connect_ports,
        "allow_ptrace": blueprint.allow_ptrace,
        "plugins": server.plugin_switches,
        # Their values reach a running game; a file with the first value needs a start that links it.
        "plugin_files": sorted(server.plugin_settings),
        "overlays": [
            {
                "id": overlay.pk,
                "name": overlay.name,
                "content_version": overlay.content_version,
                "expose_cfg": overlay.expose_cfg,
            }
            for overlay in overlays
        ],
    }
