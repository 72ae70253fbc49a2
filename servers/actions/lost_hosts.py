"""Removing a host that will never answer again: its machine is broken, sold or in the hands of an attacker."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from left4me.audit import record
from left4me.jobs import actions as jobs
from left4me.jobs import transitions
from left4me.jobs.models import Job
from overlays.models import OverlayCopy
from servers.actions import copies, placement
from servers.actions.servers import free_port
from servers.hosts import belongings
from servers.models import DeletedServer, Host, HostToken, Server, ServerCopy


@dataclass(frozen=True)
class Moved:
    """A server that is on another host now; without `copied_at` there was no copy of its files."""

    name: str
    address: str
    copied_at: datetime | None = None
    size: int = 0
    job: int | None = None


@dataclass(frozen=True)
class Losses:
    """What went with a host: for the message to the admin."""

    moved: list[Moved]
    deleted: list[str]
    unrestorable: list[str]  # deleted before, but could still have been restored
    jobs: int


@transaction.atomic
def remove_lost_host(*, host: Host, by: User | None, heir: Host | None = None, delete_servers: bool = False) -> Losses:
    """Remove the host without asking its machine for anything. Its servers go to `heir`, or are deleted.

    A moved server keeps its name, blueprint, shares and history. It gets a free port and a new RCON password, since
    the lost machine knew the old one, and is stopped. Its files are restored from the last copy of them that is on
    this machine, by a job of `heir`. Raises Refused.
    """
    if host.name == settings.LEFT4ME_HOST:
        raise jobs.Refused(_("This host runs the web server and cannot be removed."))
    servers = list(host.servers.select_related("blueprint", "owner", "host").order_by("pk"))
    if servers and heir is None and not delete_servers:
        raise jobs.Refused(
            _("This host still has servers: %(names)s. Say whether they move to another host or are deleted.")
            % {"names": ", ".join(server.name for server in servers)}
        )
    if heir == host:
        raise jobs.Refused(_("Servers cannot move to the host that is removed. Choose another host."))
    HostToken.objects.filter(host=host).delete()
    ended = end_jobs(host)
    losses = Losses(
        moved=[_move(server, heir, by) for server in servers] if heir else [],
        deleted=[] if heir else [_delete(server, by) for server in servers],
        unrestorable=list(DeletedServer.objects.filter(host=host).values_list("name", flat=True)),
        jobs=ended,
    )
    forget(host)
    record.write(action="host.remove", by=by, target=f"host:{host.pk}", name=host.name, gone=True)
    host.delete()
    return losses


def end_jobs(host: Host) -> int:
    """End every job of the host, also those that its worker may be running; return how many."""
    now = timezone.now()
    return sum(transitions.abandon(job, why="Host removed.", now=now) for job in Job.objects.live().on_host(host.name))


def forget(host: Host) -> None:
    """Delete the rows that name the host without a foreign key."""
    OverlayCopy.objects.filter(host=host.name).delete()


def _move(server: Server, heir: Host, by: User | None) -> Moved:
    source = server.host.name
    try:
        placement.put_on(server, heir, port=free_port(heir), starts=False, now=timezone.now())
    except ValidationError as fault:
        raise jobs.Refused(f"{server.name}: {' '.join(fault.messages)}") from fault
    belongings.has_moved(server, heir)
    details: dict[str, Any] = {"name": server.name, "source": source, "host": heir.name, "port": server.port}
    record.write(action="server.move", by=by, target=server.resource, **details)
    moved = Moved(server.name, placement.address_of(server))
    copy = ServerCopy.objects.filter(server=server, copied_at__isnull=False).first()
    if copy is None:
        belongings.have_gone(server)
        return moved
    # A copy that an earlier host of the server has left for this one is still the newest that there is.
    job = copies.request_restore(copy, lost_host=copy.lost_host or source, to=heir)
    return replace(moved, copied_at=copy.copied_at, size=copy.size, job=job.pk)


def _delete(server: Server, by: User | None) -> str:
    record.write(action="server.delete", by=by, target=server.resource, name=server.name)
    server.delete()
    return server.name
