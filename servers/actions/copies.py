"""Requests of copies of the servers of worker hosts, and of restores from them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from left4me.audit import record
from left4me.core.web.refusals import Refused
from left4me.jobs import actions as jobs
from left4me.jobs.models import Job
from servers.models import Host, Server, ServerCopy
from servers.models.copies import COPY, RESTORE, are_made

# So that the machine's own backup, an hour later, may include them.
NIGHT_HOUR: Final = 2


@transaction.atomic
def request_of_host(*, host: Host, by: User | None) -> list[Job]:
    """Request copies of all servers of a host. Those that are moving, and those to be restored, are left out.

    Raises Refused.
    """
    if host.name == settings.LEFT4ME_HOST:
        raise Refused(_("This host runs the web server. left4mectl backup copies its servers."))
    if not are_made():
        raise Refused(_("Copies are turned off: LEFT4ME_HOST_COPIES_GB is 0."))
    if host.release_note():
        raise Refused(host.release_note())
    requested = [job for server in host.servers.order_by("pk") if (job := _request(server, host, by=by)) is not None]
    if by is not None:
        record.write(
            action="host.copy_servers", by=by, target=f"host:{host.pk}", name=host.name, servers=len(requested)
        )
    return requested


def request_due(now: datetime) -> int:
    """Request the copies that are due: of each server once a night, and of a new one soon. Returns how many."""
    if not are_made():
        return 0
    night = _last_night(now)
    requested = 0
    for host in Host.objects.exclude(name=settings.LEFT4ME_HOST):
        # An older release does not know how; the host's page says that it has one.
        if host.release_note() or not host.version:
            continue
        due = host.servers.exclude(copy__requested_at__gte=night).order_by(
            F("copy__copied_at").asc(nulls_first=True), "pk"
        )
        for server in due:
            requested += _request(server, host, by=None) is not None
    return requested


def _last_night(now: datetime) -> datetime:
    night = now.replace(hour=NIGHT_HOUR, minute=0, second=0, microsecond=0)
    return night if night <= now else night - timedelta(days=1)


def _request(server: Server, host: Host, *, by: User | None) -> Job | None:
    now = timezone.now()
    if ServerCopy.objects.filter(server=server).exclude(lost_host="").exists():
        return None
    live = Job.objects.live().filter(operation=COPY, resource=server.resource).first()
    if live is None:
        try:
            live = jobs.request(operation=COPY, resource=server.resource, by=by, host=host.name)
        except Refused:
            # It moves, or is being deleted.
            return None
    ServerCopy.objects.update_or_create(
        server=server, defaults={"requested_at": now}, create_defaults={"requested_at": now, "created_at": now}
    )
    return live


def request_restore(copy: ServerCopy, *, lost_host: str, to: Host) -> Job:
    """Have the host take the copy of a server of a lost host, which is on it already."""
    copy.lost_host = lost_host
    copy.save(update_fields=["lost_host"])
    return jobs.request(operation=RESTORE, resource=copy.server.resource, by=None, host=to.name)
