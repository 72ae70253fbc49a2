"""The API of moving a server to another host."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from ninja import Router, Schema, Status
from pydantic import Field

from accounts.permissions import signed_in
from left4me.core.web.api import Body, require_scope
from left4me.jobs.api import JobOut
from left4me.jobs.models import Job
from servers import lookups
from servers.actions import interruptions, moves
from servers.models import Host

router = Router(tags=["servers"])


class MovePreviewOut(Schema):
    host: str
    new_address: str = Field(description="What players enter after the move; empty where no port is free")
    keeps_port: bool = Field(description="Whether its port is free there; otherwise it gets another one")
    starts: bool = Field(description="Whether the new host starts the game, as it is wanted running")
    obstacle: str = Field(description="Why it cannot move there now; empty if it can")


class MoveIn(Body):
    host: str = Field(max_length=63, description="The name of the host that shall have the server")
    warn_seconds: int = Field(
        0, ge=0, le=moves.LONGEST_WARNING, description="Players are told, and the game stops after so many seconds"
    )
    interrupt: str = Field("", max_length=40, description=interruptions.INTERRUPT)


@router.get(
    "/servers/{id:server_id}/move", response=list[MovePreviewOut], summary="The hosts to which a server can move"
)
def list_targets(request: HttpRequest, server_id: int) -> list[dict[str, Any]]:
    server, now = lookups.server_to_edit(signed_in(request), server_id), timezone.now()
    return [
        {
            "host": shown.target.name,
            "new_address": shown.address(site=request.get_host()),
            **{name: getattr(shown, name) for name in ("keeps_port", "starts", "obstacle")},
        }
        for shown in (moves.preview(server=server, target=target, now=now) for target in moves.targets(server))
    ]


@router.post("/servers/{id:server_id}/move", response={202: JobOut}, summary="Move a server to another host")
def move_server(request: HttpRequest, server_id: int, given: MoveIn) -> Status[Job]:
    """The game stops; all files of the server and its backups go to the new host, which starts it if it was running.

    Answers with the job of the present host, which sends the files; another job, of the new host, takes them. The RCON
    password changes, and the port if it is taken there. Until the new host has checked all files, the server stays
    where it is, and a job that fails or is cancelled leaves it there.
    """
    require_scope(request, "operate")
    user = signed_in(request)
    server = lookups.server_to_edit(user, server_id)
    target = Host.objects.filter(name=given.host).first()
    if target is None:
        raise ValidationError({"host": _("Host not found.")})
    job = moves.request_move(
        server=server, target=target, by=user, warn_seconds=given.warn_seconds, interrupting=given.interrupt
    )
    return Status(202, job)
