"""Requests that change a server's own copies of files of the game and of overlays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.db import transaction
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.models import User
from left4me.audit import record
from left4me.core.web.refusals import Cure
from left4me.jobs import actions as jobs
from left4me.jobs.models import Job
from servers.models import Server

USE_ORIGINALS: Final = "use_originals"
KEEP: Final = "keep_copies"
PUT_BACK: Final = "put_back_copies"
OPERATIONS: Final = (USE_ORIGINALS, KEEP, PUT_BACK)


@transaction.atomic
def request(*, server: Server, operation: str, by: User, files: Sequence[str] | None = None) -> Job:
    """Request one of OPERATIONS. Without `files` it is about all copies that are outdated. Raises Refused."""
    if operation not in OPERATIONS:
        raise jobs.Refused(_("Unknown operation “%s”.") % operation)
    if files is not None and not files:
        raise jobs.Refused(_("Choose at least one file."))
    if not server.is_at_rest:
        raise jobs.Refused(
            _("The server is running. Stop it before you change its files."),
            cure=Cure(label=_("Stop"), url=reverse("servers:action", args=[server.pk]), operation="stop"),
        )
    params: dict[str, Any] = {} if files is None else {"files": sorted(files)}
    job = jobs.request(operation=operation, resource=server.resource, by=by, host=server.host.name, params=params)
    record.write(action=f"server.{operation}", by=by, target=server.resource, job=job.pk, **params)
    return job
