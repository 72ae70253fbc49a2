"""The same request on many servers, each with its own result."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.utils.translation import gettext as _

from accounts.models import User
from left4me.core.web.refusals import Cure, Refused
from left4me.jobs.models import Job
from servers import permissions
from servers.actions import servers
from servers.models import Server

OPERATIONS = ("start", "stop", "restart")
MOST = 200


@dataclass(frozen=True)
class Outcome:
    """The job that was requested, or why there is none."""

    server: Server
    job: Job | None = None
    refusal: str = ""
    cure: Cure | None = None


def request_on_many(*, ids: Iterable[int], operation: str, by: User) -> list[Outcome]:
    """Request an operation on each of these servers that `by` may see; those that `by` may not run are refused.

    Raises Refused for an operation that is not for many servers at once.
    """
    if operation not in OPERATIONS:
        raise Refused(_("“%s” is not available for several servers at once.") % operation)
    wanted = list(dict.fromkeys(ids))[:MOST]
    return [_request(server, operation, by) for server in Server.objects.visible_to(by).filter(pk__in=wanted).listed()]


def _request(server: Server, operation: str, by: User) -> Outcome:
    if not permissions.can_operate_server(by, server):
        return Outcome(server, refusal=_("You can view this server but not operate it."))
    try:
        return Outcome(server, job=servers.request(server=server, operation=operation, by=by))
    except Refused as refusal:
        return Outcome(server, refusal=str(refusal), cure=refusal.cure)
