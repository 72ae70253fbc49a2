"""Factories for backups."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from left4me.backups.models import Backup
from overlays.models import Overlay
from servers.models import Server


def make_backup(target: Server | Overlay, **fields: Any) -> Backup:
    """A finished backup whose archive exists nowhere."""
    of = {"server": target} if isinstance(target, Server) else {"overlay": target}
    given = {"owner": target.owner, "host": "local", "finished_at": timezone.now(), "size": 1000, **fields}
    return Backup.objects.create(**of, **given)
