"""Starting, stopping and removing servers: each is a job on the server's host."""

from __future__ import annotations

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from left4me.audit import record
from left4me.jobs import actions as jobs
from left4me.jobs.models import Job
from servers.models import Server

# What is wanted of the server once each of these is asked for; None leaves it as it is.
POWER_OPERATIONS: dict[str, Server.Desired | None] = {
    "initialize": None,
    "start": Server.Desired.RUNNING,
    "restart": Server.Desired.RUNNING,
    "stop": Server.Desired.STOPPED,
    "kill": Server.Desired.STOPPED,
    "delete": Server.Desired.STOPPED,
}


@transaction.atomic
def request(*, server: Server, operation: str, by: User | None) -> Job:
    """Ask for an operation on the server; returns its job, or the equal one that already waits.

    What is wanted of the server changes with the request, not with its success: a start that fails is still
    wanted. Raises Refused.
    """
    if operation not in POWER_OPERATIONS:
        raise jobs.Refused(_("There is no operation “%s”.") % operation)
    job = jobs.request(operation=operation, resource=server.resource, by=by, host=server.host.name)
    desired = POWER_OPERATIONS[operation]
    if desired is not None:
        server.desired_state = desired
        server.save(update_fields=["desired_state"])
    record.write(action=f"server.{operation}", by=by, target=server.resource, job=job.pk)
    return job
