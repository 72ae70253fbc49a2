"""The backups of the whole machine, as its worker tells of them: for the page and the API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from left4me.core import machine_backups
from servers.hosts import rpc
from servers.models import Host

_PARTS: Final[dict[str, str | Promise]] = {
    "database": _("Database"),
    "overlays": _("Overlays"),
    "servers": _("Servers"),
    "deleted": _("Deleted servers"),
    "workshop_cache": _("Workshop files"),
    "host_copies": _("Copies of other hosts' servers"),
}


@dataclass(frozen=True, kw_only=True)
class MachineBackup:
    """One backup. `by` is timer or hand, `parts` are the bytes of each of its parts."""

    name: str
    created_at: datetime
    size: int
    by: str
    release: str
    parts: dict[str, int]
    skipped: int
    is_damaged: bool

    @property
    def contents(self) -> list[tuple[str | Promise, int]]:
        """What takes its bytes, in words."""
        return [(words, self.parts[part]) for part, words in _PARTS.items() if self.parts.get(part)]

    @property
    def restore_command(self) -> str:
        return f"left4mectl restore {machine_backups.FOLDER / self.name}"


@dataclass(frozen=True, kw_only=True)
class MachineBackups:
    """All that there are, the newest first. `is_nightly`: the timer is on."""

    is_nightly: bool
    is_late: bool
    items: Sequence[MachineBackup]


def host() -> Host | None:
    """The host of the web, the only one with something to back up; None before its worker ran for the first time."""
    return Host.objects.filter(name=settings.LEFT4ME_HOST).first()


def of(host: Host) -> MachineBackups:
    """The backups on this host. Raises rpc.HostSilent, and rpc.NotFound where none can be made."""
    told = rpc.call(host, "machine_backups").facts
    return MachineBackups(
        is_nightly=told["is_nightly"],
        is_late=host.backup_is_late(timezone.now()),
        items=[_backup(each) for each in told["items"]],
    )


def _backup(told: dict[str, Any]) -> MachineBackup:
    return MachineBackup(
        name=told["name"],
        created_at=datetime.fromisoformat(told["created_at"]),
        size=told["size"],
        by=told["made_by"],
        release=told["release"],
        parts={name: part["bytes"] for name, part in told["parts"].items()},
        skipped=told["skipped"],
        is_damaged=told["is_damaged"],
    )
