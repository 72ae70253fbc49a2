"""Requests of moves of servers to other hosts, and what such a move would change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db import transaction
from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from accounts.models import User
from left4me.audit import record
from left4me.core.web.refusals import Refused
from left4me.jobs import actions as jobs
from left4me.jobs.models import Job
from servers.actions import interruptions
from servers.hosts import ports
from servers.models import Host, Server, ServerMove

OPERATION: Final = "move"
# So long players can be warned before the game stops.
LONGEST_WARNING: Final = 600


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What a move would change."""

    target: Host
    new_port: int | None
    keeps_port: bool
    starts: bool
    obstacle: str  # why it is refused now; empty when it is not

    def address(self, *, site: str) -> str:
        """The new address; `site` is the Host header of the site's page."""
        return self.target.join_address(self.new_port, site=site) if self.new_port else ""


def targets(server: Server) -> QuerySet[Host]:
    """The hosts to which it may move."""
    return Host.objects.filter(is_enabled=True).exclude(pk=server.host_id)


def preview(*, server: Server, target: Host, now: datetime) -> Preview:
    """What a move of the server to `target` would change, as far as it is known now."""
    keeps_port = server.port in target.ports and server.port not in ports.reserved(target)
    there = server.port if keeps_port else ports.choose(target, find_busy=lambda _asked: {})
    return Preview(
        target=target,
        new_port=there,
        keeps_port=keeps_port,
        starts=server.desired_state == Server.Desired.RUNNING,
        obstacle=obstacle(server, target, now=now),
    )


def obstacle(server: Server, target: Host, *, now: datetime) -> str:
    """Why the server cannot move to `target` now; empty if it can."""
    if target.pk == server.host_id:
        return _("The server is on this host already. Choose another one.")
    if not target.is_enabled:
        return _("This host does not accept new servers. Choose another host.")
    if trouble := server.host.trouble(now):
        return _(
            "The server's host “%(name)s” must send the files, and it does not answer: %(why)s. When it is back, move "
            "the server then. If the machine is lost, an admin runs on the web server's machine: "
            "left4mectl host remove %(name)s --gone --move-servers-to HOST"
        ) % {"name": server.host.name, "why": trouble}
    if trouble := target.trouble(now):
        return _("The host “%(name)s” does not answer: %(why)s. Choose another host, or wait until it is back.") % {
            "name": target.name,
            "why": trouble,
        }
    if not target.game_version:
        return (
            _("The game is not installed on the host “%s”. An admin can install it on the host's page.") % target.name
        )
    if ports.choose(target, find_busy=lambda _asked: {}) is None:
        return _("All ports of this host are in use. An admin can widen the port range.")
    return ""


@transaction.atomic
def request_move(
    *, server: Server, target: Host, by: User | None, warn_seconds: int = 0, interrupting: str = ""
) -> Job:
    """Request the move of a server to another host; returns the job of its present host. Raises Refused.

    `interrupting` names what the move may interrupt (see `interruptions`).

    A game that runs is stopped, and is started on the new host. Until the new host has all files, the server stays.
    """
    now = timezone.now()
    retry = (
        f"{reverse('servers:move', args=[server.pk])}?{urlencode({'host': target.pk, 'warn_seconds': warn_seconds})}"
    )
    interruptions.check(server, confirmed=interrupting, retry=retry, operation=OPERATION)
    # Locked: of two requests at once, one finds the other's job.
    server = Server.objects.select_for_update(of=("self",)).select_related("host").get(pk=server.pk)
    if Job.objects.live().filter(operation=OPERATION, resource=server.resource).exists():
        raise Refused(_("The server is being moved already. Wait until it has finished, or cancel its job."))
    if reason := obstacle(server, target, now=now):
        raise Refused(reason)
    params = {"stage": ServerMove.Stage.PACK.value, "to": target.name}
    if server.desired_state == Server.Desired.RUNNING:
        params["warn_seconds"] = str(min(max(warn_seconds, 0), LONGEST_WARNING))
        params["message"] = f"This server moves to another host in {params['warn_seconds']} seconds."
        # Whatever ends the move, the host that has the server then starts it.
        server.failed_starts, server.next_start_at = 0, now
        server.save(update_fields=["failed_starts", "next_start_at"])
    job = jobs.request(operation=OPERATION, resource=server.resource, by=by, host=server.host.name, params=params)
    ServerMove.objects.update_or_create(
        server=server,
        defaults={
            "source": server.host,
            "target": target,
            "user": by,
            "stage": ServerMove.Stage.PACK,
            "job_id": job.pk,
            "size": 0,
            "sha256": "",
            "created_at": now,
        },
    )
    details: dict[str, Any] = {"name": server.name, "source": server.host.name, "host": target.name, "job": job.pk}
    record.write(action="server.request_move", by=by, target=server.resource, **details)
    return job
