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

# What an admin may ask for, with the job's operation. A repair is an install that believes nothing.
OPERATIONS = {
    "install": "install",
    "repair_game": "install",
    "rollback_game": "rollback_game",
    "clean_game": "clean_game",
}


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
    job = jobs.request(
        operation=OPERATIONS[operation], resource="game", by=by, host=host.name, params=_params(host, operation)
    )
    record.write(action=f"host.{operation}", by=by, target=f"host:{host.pk}", job=job.pk)
    return job


def _params(host: Host, operation: str) -> dict[str, object]:
    if operation == "repair_game":
        return {"repair": True}
    if operation == "rollback_game":
        # Two clicks, or a second attempt, must not go back twice.
        return {"from": host.game_version}
    return {}
