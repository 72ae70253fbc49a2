"""Bringing back deleted servers."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import transaction
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.models import User
from left4me.audit import record
from left4me.core import rows
from left4me.core.web import refusals
from left4me.core.web.refusals import Cure, Invalid
from left4me.jobs import actions as jobs
from left4me.jobs.models import Job
from servers.actions import quotas, sourcetv
from servers.actions.servers import free_port
from servers.hosts import ports
from servers.models import DeletedServer, Server, kept_rows


@transaction.atomic
def cancel_deletion(*, server: Server, desired_state: str, by: User) -> None:
    """Cancel the deletion of a server before it begins. Raises jobs.Refused when it has begun."""
    deletion = Job.objects.live().filter(resource=server.resource, operation="delete").first()
    if deletion is not None and deletion.state != Job.State.QUEUED:
        raise jobs.Refused(_("The server is being deleted. Undo this again in a moment, when it is deleted."))
    if deletion is not None:
        jobs.cancel(job=deletion, by=by)
    server.desired_state = desired_state
    server.save(update_fields=["desired_state"])
    record.write(action="server.restore", by=by, target=server.resource, name=server.name, port=server.port)


def restore_server(*, deleted: DeletedServer, by: User) -> Server:
    """Create the server again, with its address, its port if it is free, its admins, bans and backups.

    A job on its host brings back its files. Shares, schedules and history are not kept. Raises jobs.Refused with what
    is in the way.
    """
    if deleted.blueprint is None:
        raise jobs.Refused(_("The blueprint of this server was deleted, so the server cannot be restored."))
    if other := Server.objects.filter(owner=deleted.owner, name__iexact=deleted.name).first():
        raise jobs.Refused(
            _("There is another server named “%s”. Rename it first.") % deleted.name,
            cure=Cure(label=_("Rename"), url=reverse("servers:edit", args=[other.pk])),
        )
    is_taken = deleted.port in ports.reserved(deleted.host) or deleted.port not in deleted.host.ports
    try:
        port = free_port(deleted.host, by=by) if is_taken else deleted.port
        return _restore(deleted, port, by)
    except ValidationError as fault:
        raise jobs.Refused(refusals.message_of(fault), cure=refusals.cure_of(fault)) from fault


@transaction.atomic
def _restore(deleted: DeletedServer, port: int, by: User) -> Server:
    try:
        quotas.check_new(deleted.owner)
    except Invalid as fault:
        raise jobs.Refused(str(fault.message), cure=fault.cure) from fault
    server = Server(
        pk=deleted.server_id,
        owner=deleted.owner,
        name=deleted.name,
        blueprint=deleted.blueprint,
        host=deleted.host,
        port=port,
        number=deleted.number,
        restart_when_hung=deleted.restart_when_hung,
        sealed_rcon_password=deleted.sealed_rcon_password,
        plugin_switches=deleted.plugin_switches,
        plugin_settings=deleted.plugin_settings,
    )
    server.seal_for(deleted.host)
    sourcetv.reserve(server)
    rows.save_clean(server)
    kept_rows.load(deleted.rows)
    deleted.delete()
    record.write(action="server.restore", by=by, target=server.resource, name=server.name, port=port)
    jobs.request(operation="restore", resource=server.resource, by=by, host=server.host.name)
    return server
