"""What a host has, and how much of it each of its servers uses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import redis
from django.utils.functional import Promise, cached_property
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from servers.models import Host, Server
from servers.state import usage
from servers.state.usage import Usage

_FOLDERS_SHOWN = 4
_FOLDERS: dict[str, str | Promise] = {
    "servers": _("files of servers"),
    "overlays": _("overlays"),
    "workshop_cache": _("workshop files"),
    "game": _("the game and its versions"),
    "deleted": _("archives of deleted servers"),
    "backups": _("backups"),
    "overlay_copies": _("copies of overlays"),
    "left4me.sqlite3": _("the database"),
}


@dataclass(frozen=True)
class Share:
    """What one server uses, or all servers together that the viewer may not see (`server` is None then)."""

    server: Server | None
    servers: int
    cpu_percent: float  # of one core
    memory_bytes: int
    disk_bytes: int


@dataclass(frozen=True)
class HostUsage:
    """What a host reports about itself, and the shares of its servers. None where the host does not report it."""

    host: Host
    shares: list[Share]

    @property
    def cores(self) -> int | None:
        cores: int | None = self.host.facts.get("cores")
        return cores

    @property
    def load(self) -> float | None:
        """Processes that run or wait for a core, on average of the last minute."""
        load: float | None = self.host.facts.get("load")
        return load

    @property
    def memory_total(self) -> int | None:
        return self._of("memory", "total")

    @property
    def memory_used(self) -> int | None:
        return self._used("memory", "available")

    @property
    def disk_total(self) -> int | None:
        return self._of("disk", "total")

    @property
    def disk_used(self) -> int | None:
        return self._used("disk", "free")

    @property
    def folder_bytes(self) -> dict[str, int]:
        """What each folder of the data directory takes, the largest first; empty before it is measured."""
        return dict(sorted(self.host.folder_bytes.items(), key=lambda each: -each[1]))

    @property
    def folders(self) -> list[tuple[str | Promise, int]]:
        """The folders that take most of the disk, by the names that pages show."""
        largest = list(self.folder_bytes.items())[:_FOLDERS_SHOWN]
        return [(_FOLDERS.get(name, name), size) for name, size in largest]

    @cached_property
    def rows(self) -> list[tuple[Share, float | None, float | None]]:
        """Each share with its percent of the CPU and of the memory of the host."""
        return [
            (
                share,
                share.cpu_percent / self.cores if self.cores else None,
                100 * share.memory_bytes / self.memory_total if self.memory_total else None,
            )
            for share in self.shares
        ]

    def _of(self, what: str, key: str) -> int | None:
        value: int | None = self.host.facts.get(what, {}).get(key)
        return value

    def _used(self, what: str, rest: str) -> int | None:
        total, left = self._of(what, "total"), self._of(what, rest)
        return None if total is None or left is None else total - left


def of(host: Host, *, user: User) -> HostUsage:
    """The usage of a host, its servers sorted by CPU; servers that `user` may not see are added up in one share."""
    ids = list(Server.objects.filter(host=host).values_list("pk", flat=True))
    try:
        measured = usage.of(ids)
    except redis.RedisError:
        measured = {}
    visible = Server.objects.visible_to(user).filter(pk__in=measured)
    shares = [_share([measured[server.pk]], server) for server in visible]
    shares.sort(key=lambda share: (-share.cpu_percent, -share.memory_bytes))
    seen = {server.pk for server in visible}
    hidden = [used for server_id, used in measured.items() if server_id not in seen]
    return HostUsage(host, [*shares, _share(hidden, None)] if hidden else shares)


def _share(measured: Iterable[Usage], server: Server | None) -> Share:
    used = list(measured)
    return Share(
        server,
        len(used),
        cpu_percent=round(sum(each.cpu_percent or 0 for each in used), 1),
        memory_bytes=sum(each.memory_bytes or 0 for each in used),
        disk_bytes=sum(each.disk_bytes or 0 for each in used),
    )
