"""Bringing back deleted servers."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from left4me.audit import record
from left4me.core import rows
from left4me.jobs import actions as jobs
from servers.actions import sourcetv
from servers.actions.servers import free_port
from servers.hosts import ports
from servers.models import DeletedServer, Server


def restore_server(*, deleted: DeletedServer, by: User) -> Server:
    """Create the server again, with its address, its port if it is free, and by a job on its host its files.

    Shares and history are not kept. Raises jobs.Refused with what is in the way.
    """
    if deleted.blueprint is None:
        raise jobs.Refused(_("The blueprint of this server was deleted, so the server cannot be restored."))
    if Server.objects.filter(owner=deleted.owner, name__iexact=deleted.name).exists():
        raise jobs.Refused(_("There is another server named “%s”. Rename it first.") % deleted.name)
    is_taken = deleted.port in ports.reserved(deleted.host) or deleted.port not in deleted.host.ports
    try:
        port = free_port(deleted.host) if is_taken else deleted.port
        return _restore(deleted, port, by)
    except ValidationError as fault:
        raise jobs.Refused(" ".join(fault.messages)) from fault


@transaction.atomic
def _restore(deleted: DeletedServer, port: int, by: User) -> Server:
    server = Server(
        pk=deleted.server_id,
        owner=deleted.owner,
        name=deleted.name,
        blueprint=deleted.blueprint,
        host=deleted.host,
        port=port,
        restart_when_hung=deleted.restart_when_hung,
        sealed_rcon_password=deleted.sealed_rcon_password,
    )
    sourcetv.reserve(server)
    rows.save_clean(server)
    deleted.delete()
    record.write(action="server.restore", by=by, target=server.resource, name=server.name, port=port)
    jobs.request(operation="restore", resource=server.resource, by=by, host=server.host.name)
    return server
