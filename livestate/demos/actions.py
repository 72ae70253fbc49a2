"""Requests that delete demos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from left4me.audit import record
from left4me.core.web.refusals import Refused
from left4me.jobs import actions as jobs
from left4me.jobs.models import Job
from livestate.demos.models import DELETE, Demo
from servers.models import Server

MOST: Final = 500
# The audit log names so many of them.
_MOST_RECORDED: Final = 5


@transaction.atomic
def delete(*, server: Server, demos: Sequence[Demo], by: User) -> Job:
    """Have demos of a server deleted by its host. Raises Refused."""
    _check(demos)
    paths = sorted(demo.path for demo in demos)
    job = jobs.request(
        operation=DELETE, resource=server.resource, by=by, host=server.host.name, params={"demos": paths}
    )
    names = ", ".join(demo.name for demo in demos[:_MOST_RECORDED])
    record.write(
        action="server.delete_demos", by=by, target=server.resource, job=job.pk, count=len(paths), files=names
    )
    return job


def _check(demos: Sequence[Demo]) -> None:
    if not demos:
        raise Refused(_("Choose at least one demo."))
    if len(demos) > MOST:
        raise Refused(_("Choose at most %d demos.") % MOST)
    if any(demo.is_recording for demo in demos):
        raise Refused(_("The game is recording this demo. Delete it after the map."))
