"""The spec of a server: plain values, made from rows by `servers.lifecycle.launch_plan`.

The spec is written to `servers/<id>/spec.json` (mode 0600: it contains the RCON password) and read by the launcher,
which runs outside the application and knows nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import PurePosixPath
from typing import Any, Final, TypeVar

# The paths inside the sandbox. The game's tree is also its working directory and its HOME, so that
# `~/.steam/sdk32/steamclient.so` comes from the installed version.
GAME_PATH: Final = "/game"
CACHE_PATH: Final = "/workshop_cache"
REPLACEABLE_PATH: Final = "/replaceable"
REMOVALS_PATH: Final = "/removals"

# The kernel takes 500 lower layers; the launcher is tested with this many.
MOST_LAYERS: Final = 200

# The default of a blueprint: name resolution, web, MySQL for plugins, Steam. Where the kernel has Landlock's network
# rules (6.7 and newer), the game cannot reach services on any other port, also on loopback.
CONNECT_PORTS: Final = (53, 80, 443, 3306, *range(27015, 27051))


class SpecInvalid(ValueError):
    """The spec cannot be run. The message names the value and the reason."""


@dataclass(frozen=True, kw_only=True)
class Bind:
    """A file or directory of the host that is mounted read-only at `target`."""

    source: str
    target: str


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Resource limits of one server. Under systemd the unit's MemoryMax, TasksMax and CPUWeight are used instead."""

    memory: int = 4 * 1024**3
    tasks: int = 256
    cpu_weight: int = 100
    open_files: int = 8192
    file_size: int = 2 * 1024**3
    temporary: int = 256 * 1024**2


@dataclass(frozen=True, kw_only=True)
class RestartPolicy:
    """How a game that ended unasked is restarted.

    Each restart waits for a pause, which doubles. After `most` restarts within `within_seconds` the server gives up.
    """

    most: int = 5
    within_seconds: float = 600
    first_pause_seconds: float = 1
    longest_pause_seconds: float = 30

    def pause_before(self, restart: int) -> float:
        """The seconds before restart number `restart` of those that count; the first one is 1."""
        return min(float(self.first_pause_seconds * 2 ** (restart - 1)), self.longest_pause_seconds)

    @property
    def last_pause_seconds(self) -> float:
        """The longest pause that occurs: `most` may end the doubling before `longest_pause_seconds` is reached."""
        return self.pause_before(self.most)


@dataclass(frozen=True, kw_only=True)
class StopLimits:
    """How long a stop waits after RCON `quit`, after TERM, and after KILL."""

    quit_seconds: float = 15
    term_seconds: float = 10
    kill_seconds: float = 10


@dataclass(frozen=True, kw_only=True)
class InstanceSpec:
    """Everything that a runtime needs to run one server.

    `argv` is executed as it stands, in GAME_PATH; a relative program (`./srcds_run`) is found in the tree.
    `layers` are absolute host directories, the topmost first and the game version last.
    `generated` maps paths below GAME_PATH to texts; they are written at every start, readable by the game's
    user only, and a file generated for the previous start and absent now is removed.
    `replaceable` maps such paths to texts as well; the game sees them through links to a directory of the host, where
    `ServerDirectory.write_replaceable` puts another text in their place while the game runs.
    `moved` maps paths below GAME_PATH to others at which the game sees these files of the layers instead.
    `binds` usually holds the workshop cache at CACHE_PATH.
    `connect_ports` are the TCP ports that it may connect to; `allow_ptrace` lets its processes trace each other.
    `env` is added to the small environment that the launcher makes; nothing else is inherited.
    """

    server_id: int
    argv: tuple[str, ...]
    layers: tuple[str, ...]
    port: int
    generated: Mapping[str, str] = field(default_factory=dict)
    replaceable: Mapping[str, str] = field(default_factory=dict)
    moved: Mapping[str, str] = field(default_factory=dict)
    binds: tuple[Bind, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    connect_ports: tuple[int, ...] = CONNECT_PORTS
    allow_ptrace: bool = False
    limits: Limits = field(default_factory=Limits)
    restart: RestartPolicy = field(default_factory=RestartPolicy)
    stop: StopLimits = field(default_factory=StopLimits)

    def __post_init__(self) -> None:
        """Raise SpecInvalid for values that can never be run, before anything is started with them."""
        if not self.argv or any("\0" in part for part in self.argv):
            raise SpecInvalid("argv must name a program and contain no NUL")
        # What is moved takes a layer of its own.
        if not 1 <= len(self.layers) + bool(self.moved) <= MOST_LAYERS:
            raise SpecInvalid(f"a server can have 1 to {MOST_LAYERS} layers, not {len(self.layers)}")
        for path in (*self.layers, *(b.source for b in self.binds), *(b.target for b in self.binds)):
            if not path.startswith("/") or ".." in PurePosixPath(path).parts:
                raise SpecInvalid(f"not an absolute path: {path}")
        for path in (*self.generated, *self.replaceable, *self.moved, *self.moved.values()):
            if path.startswith("/") or not path or ".." in PurePosixPath(path).parts:
                raise SpecInvalid(f"not a path below the game: {path}")

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> InstanceSpec:
        """Read the output of `to_json`, also that of a newer version. Raises SpecInvalid for anything else."""
        try:
            data: dict[str, Any] = json.loads(text)
            return cls(
                server_id=int(data["server_id"]),
                argv=tuple(data["argv"]),
                layers=tuple(data["layers"]),
                port=int(data["port"]),
                generated=dict(data["generated"]),
                binds=tuple(_from_dict(Bind, bind) for bind in data["binds"]),
                env=dict(data["env"]),
                connect_ports=tuple(data["connect_ports"]),
                # A spec of an older release has none of these.
                replaceable=dict(data.get("replaceable", {})),
                moved=dict(data.get("moved", {})),
                allow_ptrace=bool(data.get("allow_ptrace", False)),
                limits=_from_dict(Limits, data["limits"]),
                restart=_from_dict(RestartPolicy, data["restart"]),
                stop=_from_dict(StopLimits, data["stop"]),
            )
        except SpecInvalid:
            raise
        except (ValueError, KeyError, TypeError) as error:
            raise SpecInvalid(f"the spec cannot be read: {error!r}") from error


_Part = TypeVar("_Part", Bind, Limits, RestartPolicy, StopLimits)


def _from_dict(kind: type[_Part], values: dict[str, Any]) -> _Part:
    # A supervisor may be older than the application that wrote the spec: it ignores fields that it does not know.
    known_fields = {part.name for part in fields(kind)}
    return kind(**{name: value for name, value in values.items() if name in known_fields})
