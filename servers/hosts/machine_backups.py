"""What the worker of a host sees of the backups of its whole machine, which root makes: `left4mectl backup`."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from django.conf import settings

from left4me.core import machine_backups

UNIT: Final = "left4me-backup.service"

_UNITS: Final = Path("/etc/systemd/system")


def facts() -> dict[str, Any] | None:
    """How old the newest one is, in the form of `Host.facts`. None where `deploy/install` set up no backups.

    `since` is the time of the newest backup, or that of the installation while there is none.
    """
    if settings.LEFT4ME_RUNTIME != "systemd" or not (_UNITS / UNIT).exists():
        return None
    newest = next((backup["created_at"] for backup in found()), None)
    listed_at = datetime.fromtimestamp(machine_backups.changed_at(machine_backups.FOLDER), UTC)
    return {
        "since": newest or listed_at.isoformat(),
        "is_nightly": (_UNITS / "timers.target.wants/left4me-backup.timer").is_symlink(),
    }


def found() -> list[dict[str, Any]]:
    """The backups on this machine, the newest first."""
    with contextlib.suppress(OSError, ValueError):
        return machine_backups.read(machine_backups.FOLDER)
    return []
