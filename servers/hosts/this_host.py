"""This host: the edge where settings become the objects that operations work with.

Only what runs on a host (operations, tasks, commands) imports this; pages and API never do.
"""

from __future__ import annotations

import functools
import shutil
from pathlib import Path
from typing import Any

from django.conf import settings

from left4me.core.processes import procfs
from servers.gamehost.game import NoVersion, Versions
from servers.gamehost.port import ServerRuntime
from servers.gamehost.process.runtime import ProcessRuntime
from servers.gamehost.steamcmd import bootstrap
from servers.gamehost.steamcmd.session import Login, SteamCmd
from servers.gamehost.storage import Storage
from servers.gamehost.systemd import units
from servers.gamehost.systemd.runtime import SystemdRuntime
from servers.gamehost.watch import Watch
from servers.logs.publisher import Tailers
from servers.models import Host


def root() -> Path:
    return Path(settings.LEFT4ME_ROOT)


def row() -> Host:
    """The row of this host; made when it speaks for the first time."""
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
    """Which start of this machine it is; a worker does not outlive one."""
    found = procfs.boot_id()
    if settings.LEFT4ME_RUNTIME == "systemd":
        # In a container the kernel's id is that of the machine around it, and stays.
        found += f" {units.systemd_since()}"
    return found


@functools.cache
def tailers() -> Tailers:
    """The log tailers of this worker."""
    return Tailers(runtime())


def workshop_cache() -> Path:
    return root() / "workshop_cache"


def facts() -> dict[str, Any]:
    """What this host tells about itself beside its name."""
    disk = shutil.disk_usage(root())
    return {
        "disk": {"free": disk.free, "total": disk.total},
        "runtime": settings.LEFT4ME_RUNTIME,
        "game": settings.LEFT4ME_GAME,
        "versions": [
            {"id": each.id, "kind": each.kind, "build": each.build, "installed_at": each.installed_at.isoformat()}
            for each in games().all()
        ],
    }


def game_version() -> str:
    """The id of the version that a start takes now; empty before the first install."""
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
    """SteamCMD, fetched first where this host has none. Raises BootstrapFailed, Cancelled."""
    return bootstrap.steamcmd(root() / "steamcmd", watch=watch)


def steam_login() -> Login | None:
    """The account to fall back to where Steam gives the game to no anonymous login; None without one.

    Raises ValueError for what SteamCMD could not be told.
    """
    if not settings.LEFT4ME_STEAM_USERNAME:
        return None
    return Login(username=settings.LEFT4ME_STEAM_USERNAME, password=settings.LEFT4ME_STEAM_PASSWORD)
