"""What beat asks of a host. Each task is also callable as a plain function."""

from __future__ import annotations

from pathlib import Path

from celery import shared_task
from django.utils import timezone

from servers import local, observing, readiness, refreshing
from servers.models import Host

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@shared_task(name="servers.refresh")
def refresh() -> None:
    """Look at all servers of this host and say that it is alive."""
    now = timezone.now()
    host = local.row()
    boot = _BOOT_ID.read_text().strip()
    refreshing.refresh(
        host.name,
        runtime=local.runtime(),
        ready=readiness.ready,
        now=now,
        rebooted=host.facts.get("boot_id") not in {None, boot},
    )
    facts = {**host.facts, **local.facts(), "boot_id": boot}
    Host.objects.filter(pk=host.pk).update(last_seen_at=now, facts=facts, game_version=local.games().current_name())


@shared_task(name="servers.prune")
def prune() -> None:
    observing.prune(timezone.now())
