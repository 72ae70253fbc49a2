"""Changing hosts, and requesting operations on their game."""

from __future__ import annotations

from datetime import time
from typing import TypedDict, Unpack

from django.conf import settings
from django.db import transaction
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from accounts import secrets
from accounts.models import User
from left4me.audit import record
from left4me.core import rows
from left4me.core.redis import hosts
from left4me.core.web.refusals import Cure, Refused
from left4me.jobs import actions as jobs
from left4me.jobs.models import Job
from servers.actions import lost_hosts
from servers.hosts import host_keys
from servers.models import GameCheck, Host, HostToken
from servers.models.hosts import TOKEN_PREFIX
from servers.state import game_updates

# The operation that an admin requests, and that of the job. A repair is an install that verifies every file.
OPERATIONS = {
    "install": "install",
    "repair_game": "install",
    "rollback_game": "rollback_game",
    "clean_game": "clean_game",
}


# A message to a host that is away is not kept for longer: the row asks for the check as well.
_CHECK_EXPIRES_SECONDS = 60


class HostChanges(TypedDict, total=False):
    address: str
    first_port: int
    last_port: int
    is_enabled: bool
    update_policy: str
    update_time: time
    update_zone: str
    update_at_once: int


@transaction.atomic
def update_host(*, host: Host, by: User, **changes: Unpack[HostChanges]) -> Host:
    """Change the settings of a host. Existing servers keep ports outside a new range. Raises ValidationError."""
    for name, value in changes.items():
        setattr(host, name, value)
    rows.save_clean(host)
    record.write(action="host.update", by=by, target=f"host:{host.pk}", name=host.name)
    return host


@transaction.atomic
def add_host(*, name: str, by: User | None, address: str = "") -> tuple[Host, str, str]:
    """Add a host beside the web's own, or make a new token and key for an existing one. Returns it and these two.

    Only the token's digest is stored, so it can be shown only now. Raises ValidationError and Refused.
    """
    if name == settings.LEFT4ME_HOST:
        raise jobs.Refused(_("“%s” is the name of this machine. Choose another name.") % name)
    host = Host.objects.filter(name=name).first() or Host(name=name)
    host.address = address or host.address
    rows.save_clean(host)
    raw = secrets.new(TOKEN_PREFIX)
    HostToken.objects.update_or_create(
        host=host, defaults={"digest": secrets.digest(raw), "created_at": timezone.now(), "last_used_at": None}
    )
    key = host_keys.replace_key(host)
    record.write(action="host.add", by=by, target=f"host:{host.pk}", name=name)
    return host, raw, key


@transaction.atomic
def revoke_token(*, host: Host, by: User | None) -> None:
    """Delete the host's token: it can download nothing any more, and keeps what it has."""
    if HostToken.objects.filter(host=host).delete()[0]:
        record.write(action="host.revoke_token", by=by, target=f"host:{host.pk}", name=host.name)


@transaction.atomic
def remove_host(*, host: Host, by: User | None) -> None:
    """Delete a host that has no servers, with its waiting jobs. Raises Refused."""
    if host.name == settings.LEFT4ME_HOST:
        raise jobs.Refused(_("This host runs the web server and cannot be removed."))
    servers = list(host.servers.values_list("name", flat=True))
    if servers:
        raise jobs.Refused(
            _(
                "This host still has servers. Delete them first: %(names)s. If the machine is lost, run on the web "
                "server's machine: left4mectl host remove %(host)s --gone"
            )
            % {"names": ", ".join(servers), "host": host.name},
            cure=Cure(label=_("Show its servers"), url=f"{reverse('servers:list')}?{urlencode({'host': host.name})}"),
        )
    lost_hosts.end_jobs(host)
    lost_hosts.forget(host)
    record.write(action="host.remove", by=by, target=f"host:{host.pk}", name=host.name)
    host.delete()


@transaction.atomic
def check_game(*, host: Host, by: User) -> None:
    """Ask the host to look for a newer build of the game now. Raises Refused."""
    now = timezone.now()
    if not host.game_version:
        raise Refused(_("The game is not installed on this host. Install it first: that brings the newest build."))
    if host.is_down(now):
        raise Refused(_("This host is offline, so it cannot look for updates."))
    GameCheck.objects.update_or_create(host=host, defaults={"asked_at": now, "next_at": now})
    record.write(action="host.check_game", by=by, target=f"host:{host.pk}")
    hosts.send_after_commit(host.name, game_updates.CHECK_TASK, expires=_CHECK_EXPIRES_SECONDS)


@transaction.atomic
def request_on_host(*, host: Host, operation: str, by: User | None) -> Job:
    """Request an operation on the host's game. Raises Refused."""
    if operation not in OPERATIONS:
        raise jobs.Refused(_("Unknown operation “%s”.") % operation)
    job = jobs.request(
        operation=OPERATIONS[operation], resource="game", by=by, host=host.name, params=_params(host, operation)
    )
    record.write(action=f"host.{operation}", by=by, target=f"host:{host.pk}", job=job.pk)
    return job


def _params(host: Host, operation: str) -> dict[str, object]:
    if operation == "repair_game":
        return {"repair": True}
    if operation == "rollback_game":
        # Two clicks, or a second run of the job, must not go back twice.
        return {"from": host.game_version}
    return {}
