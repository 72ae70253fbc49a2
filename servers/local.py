"""This host: the edge where settings become the objects that operations work with.

Only what runs on a host (operations, tasks, commands) imports this; pages and API never do.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from servers.models import Host
from servers.runtime.port import ServerRuntime
from servers.runtime.process import ProcessRuntime
from servers.tailing import Tailers


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
    return ProcessRuntime(root=root())


@functools.cache
def tailers() -> Tailers:
    """The log tailers of this worker."""
    return Tailers(runtime())


def workshop_cache() -> Path:
    return root() / "workshop_cache"


def facts() -> dict[str, object]:
    """What this host tells about itself beside its name."""
    return {"runtime": settings.LEFT4ME_RUNTIME, "game": settings.LEFT4ME_GAME}


@dataclass(frozen=True)
class GameVersion:
    name: str
    path: Path


class Games:
    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def current(self) -> GameVersion | None:
        link = self._directory / "current"
        if not link.is_symlink() or not link.exists():
            return None
        path = link.resolve()
        return GameVersion(path.name, path)

    def current_name(self) -> str:
        version = self.current()
        return version.name if version else ""


def games() -> Games:
    return Games(root() / "game")
