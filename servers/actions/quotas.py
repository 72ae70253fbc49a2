"""How many servers one user may have and run, and how much memory the running ones may use together.

Admins are not limited, since they set the limits. 0 means no limit. Uploads and backups have quotas of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import redis
from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import User
from left4me.core import rows
from left4me.core.web.refusals import Cure, Invalid
from left4me.jobs import actions as jobs
from servers.models import Server
from servers.state import usage

_MB = 1_000_000


@dataclass(frozen=True)
class Quota:
    """What a user has of something, and may have; without a limit, `limit` is None."""

    used: int
    limit: int | None

    @property
    def is_full(self) -> bool:
        return self.limit is not None and self.used >= self.limit


def servers(owner: User) -> Quota:
    return Quota(Server.objects.filter(owner=owner).count(), _limit(owner, settings.LEFT4ME_SERVERS_PER_USER))


def running(owner: User) -> Quota:
    """Of servers that should run, whether their games do or not: those that start count too."""
    wanted = Server.objects.filter(owner=owner, desired_state=Server.Desired.RUNNING)
    return Quota(wanted.count(), _limit(owner, settings.LEFT4ME_RUNNING_SERVERS_PER_USER))


def memory_mb(owner: User) -> Quota:
    """Of what the running servers were last measured to use. Without Redis, nothing is known and nothing is used."""
    wanted = Server.objects.filter(owner=owner, desired_state=Server.Desired.RUNNING)
    try:
        measured = dict(usage.of(list(wanted.values_list("pk", flat=True))))
    except redis.RedisError:
        measured = {}
    used = sum(each.memory_bytes or 0 for each in measured.values()) // _MB
    return Quota(used, _limit(owner, settings.LEFT4ME_MEMORY_PER_USER_MB))


def check_new(owner: User) -> None:
    """Raise ValidationError if the owner may have no further server. Call it in the transaction that adds one."""
    if _limit(owner, settings.LEFT4ME_SERVERS_PER_USER) is None:
        return
    rows.take_turns(owner.pk)
    quota = servers(owner)
    if quota.is_full:
        text = ngettext(
            "You may have %(n)d server, and have it already. Delete it first, or ask an admin for more.",
            "You may have %(n)d servers, and have them already. Delete one first, or ask an admin for more.",
            quota.limit or 0,
        )
        cure = Cure(label=_("Show servers"), url=reverse("servers:list"))
        raise Invalid(text % {"n": quota.limit}, cure=cure)


def check_start(server: Server) -> None:
    """Raise Refused if the owner may run no further server now. Call it in the transaction that requests the start."""
    owner = server.owner
    limits = (settings.LEFT4ME_RUNNING_SERVERS_PER_USER, settings.LEFT4ME_MEMORY_PER_USER_MB)
    if server.desired_state == Server.Desired.RUNNING or all(_limit(owner, limit) is None for limit in limits):
        return
    rows.take_turns(owner.pk)
    cure = Cure(label=_("Show running servers"), url=f"{reverse('servers:list')}?state=running")
    games, memory = running(owner), memory_mb(owner)
    if games.is_full:
        text = ngettext(
            "The owner of this server may run %(n)d server at a time. Stop it first.",
            "The owner of this server may run %(n)d servers at a time. Stop one first.",
            games.limit or 0,
        )
        raise jobs.Refused(text % {"n": games.limit}, cure=cure)
    if memory.is_full:
        text = _(
            "The running servers of this owner use %(used)d MB of memory, and may use %(limit)d MB. Stop one first."
        )
        raise jobs.Refused(text % {"used": memory.used, "limit": memory.limit}, cure=cure)


def _limit(owner: User, setting: int) -> int | None:
    return None if owner.is_admin or setting == 0 else setting
