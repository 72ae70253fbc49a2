"""The API of the copies of a host's servers on the machine of the web."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router, Schema, Status
from pydantic import Field

from accounts.permissions import signed_in
from left4me.core.web.api import require_scope
from left4me.jobs.api import JobOut
from left4me.jobs.models import Job
from servers import actions, lookups
from servers.state import copies
from servers.state.copies import CopyOfServer, HostCopies

router = Router(tags=["hosts"])


class ServerCopyOut(Schema):
    server: int
    name: str
    copied_at: datetime | None = Field(description="When the newest whole copy was begun; null without one")
    size: int
    sent: int = Field(description="The bytes of it that had changed and were sent the last time")
    left_out: int = Field(description="Files that the copy lacks")
    left_out_paths: list[str] = Field(description="The first of them")
    is_late: bool = Field(description="Whether it is older than two days")
    job_id: int | None = Field(description="The newest job that copied it")
    error: str = Field(description="Why that job failed; empty if it did not")


class HostCopiesOut(Schema):
    oldest_at: datetime | None = Field(description="All servers were copied since then; null while one never was")
    size: int
    is_late: bool
    items: list[ServerCopyOut]


@router.get("/hosts/{id:host_id}/copies", response=HostCopiesOut, summary="Copies of a host's servers (admins)")
def list_copies(request: HttpRequest, host_id: int) -> dict[str, Any]:
    """Without items for the web's own host, and where LEFT4ME_HOST_COPIES_GB is 0."""
    require_scope(request, "admin")
    found = copies.of_host(lookups.host_to_operate(signed_in(request), host_id), now=timezone.now())
    if found is None:
        found = HostCopies([])
    return {
        "oldest_at": found.oldest,
        "size": found.size,
        "is_late": found.is_late,
        "items": [_out(item) for item in found.items],
    }


@router.post("/hosts/{id:host_id}/copies", response={202: list[JobOut]}, summary="Copy a host's servers now (admins)")
def copy_servers(request: HttpRequest, host_id: int) -> Status[list[Job]]:
    """Answers with the jobs, one of each server. Servers that are moving or being restored are left out."""
    require_scope(request, "admin")
    user = signed_in(request)
    return Status(202, actions.request_copies(host=lookups.host_to_operate(user, host_id), by=user))


def _out(item: CopyOfServer) -> dict[str, Any]:
    copy, failed = item.copy, item.failed_job
    return {
        "server": item.server.pk,
        "name": item.server.name,
        "copied_at": copy.copied_at if copy else None,
        "size": copy.size if copy else 0,
        "sent": copy.sent if copy else 0,
        "left_out": copy.left_out if copy else 0,
        "left_out_paths": copy.left_out_paths if copy else [],
        "is_late": item.is_late,
        "job_id": item.job.pk if item.job else None,
        "error": failed.error if failed else "",
    }
