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
MOST_FILES: Final = 500
_LONGEST_PATH: Final = 4096
# The audit log names so many of them.
_MOST_RECORDED: Final = 5


@transaction.atomic
def request(*, server: Server, operation: str, by: User, files: Sequence[str] | None = None) -> Job:
    """Request one of OPERATIONS. Raises Refused.

    Without `files`, PUT_BACK is about all that was set aside, and the others are about all copies that are outdated.
    """
    if operation not in OPERATIONS:
        raise jobs.Refused(_("Unknown operation “%s”.") % operation)
    if files is not None and not files:
        raise jobs.Refused(_("Choose at least one file."))
    if not server.is_at_rest:
        raise jobs.Refused(
            _("The server is running. Stop it before you change its files."),
            cure=Cure(label=_("Stop"), url=reverse("servers:action", args=[server.pk]), operation="stop"),
        )
    params: dict[str, Any] = {} if files is None else {"files": _checked(files)}
    job = jobs.request(operation=operation, resource=server.resource, by=by, host=server.host.name, params=params)
    record.write(action=f"server.{operation}", by=by, target=server.resource, job=job.pk, **_details(files))
    return job


def _checked(files: Sequence[str]) -> list[str]:
    if len(files) > MOST_FILES:
        raise jobs.Refused(_("Choose at most %d files.") % MOST_FILES)
    if any(len(path) > _LONGEST_PATH or "\0" in path for path in files):
        raise jobs.Refused(_("The path is not valid."))
    return sorted(set(files))


def _details(files: Sequence[str] | None) -> dict[str, Any]:
    """What the audit log tells: not every one of many files."""
    if files is None:
        return {}
    return {"count": len(set(files)), "files": ", ".join(sorted(set(files))[:_MOST_RECORDED])}
