"""Removing a host that will never answer again: its machine is broken, sold or in the hands of an attacker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from left4me.audit import record
from left4me.core import rows, secrets
from left4me.jobs import actions as jobs
from left4me.jobs import transitions
from left4me.jobs.models import Job
from overlays.models import OverlayCopy
from servers.actions import sourcetv
from servers.actions.servers import free_port
from servers.models import DeletedServer, Host, HostToken, Server
from servers.state import state_log


@dataclass(frozen=True)
class Losses:
    """What went with a host: for the message to the admin."""

    moved: list[str]  # "name: address of its new port"
    deleted: list[str]
    unrestorable: list[str]  # deleted before, but could still have been restored
    jobs: int


@transaction.atomic
def remove_lost_host(*, host: Host, by: User | None, heir: Host | None = None, delete_servers: bool = False) -> Losses:
    """Remove the host without asking its machine for anything. Its servers go to `heir`, or are deleted.

    A moved server keeps its name, blueprint, shares and history. It gets a free port and a new RCON password, since
    the lost machine knew the old one, and is stopped. What its game has written was on the lost machine. Raises
    Refused.
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


def _move(server: Server, heir: Host, by: User | None) -> str:
    source = server.host.name
    server.host = heir
    server.tv_port = None
    try:
        server.port = free_port(heir)
        sourcetv.reserve(server)
        server.rcon_password = secrets.new_password()
        server.applied, server.applied_sealed_rcon_password, server.game_version = None, "", ""
        server.desired_state = Server.Desired.STOPPED
        server.started_at = server.starts_again_at = server.hung_since = server.offered_port = None
        server.last_error = ""
        server.outdated_files = 0
        server.version += 1
        rows.save_clean(server)
    except ValidationError as fault:
        raise jobs.Refused(f"{server.name}: {' '.join(fault.messages)}") from fault
    state_log.record_state(server, Server.State.STOPPED, now=timezone.now(), detail=f"Moved from host {source}.")
    details: dict[str, Any] = {"name": server.name, "source": source, "host": heir.name, "port": server.port}
    record.write(action="server.move", by=by, target=server.resource, **details)
    return f"{server.name}: {heir.address or heir.name}:{server.port}"


def _delete(server: Server, by: User | None) -> str:
    record.write(action="server.delete", by=by, target=server.resource, name=server.name)
    server.delete()
    return server.name
