"""The objects of this host (runtime, storage, game, SteamCMD), made from settings.

Only code that runs on a host (operations, tasks, commands) imports this; pages and API never do.
"""

from __future__ import annotations

import contextlib
import functools
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from django.conf import settings

from left4me.core.processes import procfs
from servers.gamehost import rcon
from servers.gamehost.game import NoVersion, Versions
from servers.gamehost.port import ServerRuntime, Watch
from servers.gamehost.process.runtime import ProcessRuntime
from servers.gamehost.steamcmd import bootstrap
from servers.gamehost.steamcmd.session import Login, SteamCmd
from servers.gamehost.storage import Storage, used
from servers.gamehost.systemd import units
from servers.gamehost.systemd.runtime import SystemdRuntime
from servers.hosts import floods, load, machine_backups
from servers.logs.publisher import Tailers
from servers.models import Host, Server

# RCON never leaves the host: its own worker connects over the loopback interface.
ADDRESS: Final = "127.0.0.1"


def root() -> Path:
    return Path(settings.LEFT4ME_ROOT)


def row() -> Host:
    """The row of this host; created on the first call."""
    ports: range = settings.LEFT4ME_PORTS
    host, _ = Host.objects.get_or_create(
        name=settings.LEFT4ME_HOST, defaults={"first_port": ports.start, "last_port": ports.stop - 1}
    )
    return host


@functools.cache
def runtime() -> ServerRuntime:
    """The runtime that LEFT4ME_RUNTIME names."""
    if settings.LEFT4ME_RUNTIME == "systemd":
        return SystemdRuntime(root=root())
    return ProcessRuntime(root=root(), limits_in=settings.LEFT4ME_CGROUP)


@functools.cache
def boot() -> str:
    """An id of the present boot of this machine. Cached, since no worker outlives a boot."""
    boot_id = procfs.boot_id()
    if settings.LEFT4ME_RUNTIME == "systemd":
        # In a container the kernel's id is that of the machine around it and does not change.
        boot_id += f" {units.systemd_since()}"
    return boot_id


@functools.cache
def tailers() -> Tailers:
    """The log tailers of this worker."""
    return Tailers(runtime())


def workshop_cache() -> Path:
    return root() / "workshop_cache"


def facts(before: Mapping[str, Any]) -> dict[str, Any]:
    """The values that this host reports about itself, stored in `Host.facts`; `before` are those reported last."""
    disk = shutil.disk_usage(root())
    memory, available = load.memory()
    return {
        "disk": {"free": disk.free, "total": disk.total},
        "memory": {"total": memory, "available": available},
        "cores": load.cores(),
        "load": load.average(),
        "runtime": settings.LEFT4ME_RUNTIME,
        "game": settings.LEFT4ME_GAME,
        "backup": machine_backups.facts(),
        "floods": floods.observe(before.get("floods"), now=time.time()),
        "versions": [
            {
                "id": version.id,
                "kind": version.kind,
                "build": version.build,
                "installed_at": version.installed_at.isoformat(),
            }
            for version in games().all()
        ],
    }


def folders() -> dict[str, int]:
    """What each folder of the data directory takes, in bytes; also SQLite's files. Reads the whole tree."""
    sizes = {path.name: used(path).size for path in root().iterdir() if path.is_dir()}
    for path in root().glob("left4me.sqlite3*"):
        with contextlib.suppress(FileNotFoundError):  # the last connection to be closed removes two of them
            sizes["left4me.sqlite3"] = sizes.get("left4me.sqlite3", 0) + path.stat().st_size
    return sizes


def game_version() -> str:
    """The id of the version that a start would use now; empty before the first install."""
    try:
        return games().current().id
    except NoVersion:
        return ""


def storage() -> Storage:
    return Storage(root())


def games() -> Versions:
    """The installed versions of the game."""
    return Versions(root() / "game")


def steamcmd(watch: Watch) -> SteamCmd:
    """SteamCMD, downloaded first if this host has none. Raises BootstrapFailed, Cancelled."""
    return bootstrap.steamcmd(root() / "steamcmd", watch=watch)


def steam_login() -> Login | None:
    """The account to use where Steam refuses the game to an anonymous login; None without one.

    Raises ValueError for values that cannot be written to a script of SteamCMD.
    """
    if not settings.LEFT4ME_STEAM_USERNAME:
        return None
    return Login(username=settings.LEFT4ME_STEAM_USERNAME, password=settings.LEFT4ME_STEAM_PASSWORD)


def ask_game(
    server: Server,
    command: str,
    *,
    timeout: float = 5.0,
    starting: bool = False,
    on_text: Callable[[str], None] | None = None,
) -> rcon.Answer:
    """Run a command in the game of a server of this host and return its answer, as `rcon.execute` does.

    Raises `rcon.RconError`, and `secrets.Unreadable` if the password cannot be decrypted.
    """
    return rcon.execute(
        ADDRESS, server.port, server.live_rcon_password, command, timeout=timeout, starting=starting, on_text=on_text
    )
