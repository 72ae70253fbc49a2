"""Changing hosts, and what is asked of them."""

from __future__ import annotations

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from left4me.audit import record
from left4me.jobs import actions as jobs
from left4me.jobs.models import Job
from left4me.lib import rows
from servers.models import Host

OPERATIONS = ("install",)


@transaction.atomic
def update_host(*, host: Host, by: User, address: str, first_port: int, last_port: int, is_enabled: bool) -> Host:
    """Change what an admin decides of a host; raises ValidationError. Servers keep ports outside of a new range."""
    host.address, host.is_enabled = address, is_enabled
    host.first_port, host.last_port = first_port, last_port
    rows.save_clean(host)
    record.write(action="host.update", by=by, target=f"host:{host.pk}", name=host.name)
    return host


@transaction.atomic
def request_on_host(*, host: Host, operation: str, by: User | None) -> Job:
    """Ask for an operation on the host's game; raises Refused."""
    if operation not in OPERATIONS:
        raise jobs.Refused(_("There is no operation “%s”.") % operation)
    job = jobs.request(operation=operation, resource="game", by=by, host=host.name)
    record.write(action=f"host.{operation}", by=by, target=f"host:{host.pk}", job=job.pk)
    return job
