"""Actions on many servers in the JSON API: the plan, the action, and the result of each server."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from ninja import Field, Query, Router, Schema, Status

from accounts.models import User
from accounts.permissions import signed_in
from left4me.core.web.api import Body, Window, listed, page_of, require_scope
from left4me.core.web.ids import Id
from left4me.core.web.refusals import Refused
from left4me.schedules import bulk, bulk_execution
from left4me.schedules.api import RunOut
from left4me.schedules.models import BulkAction, Condition, Run

router = Router(tags=["bulk actions"])

ActionName = Literal["restart", "start", "stop", "move"]


class BulkIn(Body):
    """The servers of a blueprint, those of a host, or a list of servers; and what shall happen to them."""

    blueprint_id: Id | None = None
    host_id: Id | None = None
    servers: list[Id] = Field([], max_length=bulk.MOST_SERVERS)
    action: ActionName
    when_empty: bool = Field(False, description="Whether each server waits until nobody plays")
    at_once: int = Field(2, ge=1, le=bulk.MOST_AT_ONCE, description="Servers that are under way at the same time")
    only_changed: bool = Field(False, description="Restart only servers that have changes to apply")
    to_host: str = Field("", max_length=63, description="The name of the host to which the servers move")


class PlannedOut(Schema):
    server_id: int
    name: str
    verdict: Literal["acts", "waits", "left out"]
    text: str = Field(description="Why it waits or is left out, or who plays")
    players: int


class BulkPlanOut(Schema):
    """The servers in the order of their turns."""

    servers: list[PlannedOut]


class BulkOut(Schema):
    id: int
    user: str | None = Field(description="Null for left4me itself, which applies a game update")
    origin: Literal["selection", "blueprint", "host", "game_update"]
    blueprint_id: int | None
    host_id: int | None
    to_host_id: int | None = Field(description="The host to which the servers move")
    action: ActionName
    when_empty: bool
    at_once: int
    game_version: str
    state: Literal["active", "done", "stopped", "cancelled"]
    reason: str
    created_at: datetime
    ended_at: datetime | None

    @staticmethod
    def resolve_user(each: BulkAction) -> str | None:
        return each.user.get_username() if each.user else None

    @staticmethod
    def resolve_when_empty(each: BulkAction) -> bool:
        return each.waits_until_empty


class BulkRunOut(RunOut):
    failure: str = Field(description="Why it failed; empty otherwise")


class BulkDetailOut(BulkOut):
    """The action with the result of each server, in the order of their turns."""

    runs: list[BulkRunOut]

    @staticmethod
    def resolve_runs(each: BulkAction) -> list[Run]:
        runs = bulk_execution.runs_of(each)
        failed = bulk_execution.failures(each, runs)
        for run in runs:
            run.failure = failed.get(run.pk, "")  # type: ignore[attr-defined]
        return runs


BulkPage = page_of(BulkOut, "BulkPage")


@router.post("/bulk/plan", response=BulkPlanOut, summary="What an action would do to each server")
def plan_bulk(request: HttpRequest, given: BulkIn) -> dict[str, Any]:
    user = signed_in(request)
    chosen = _chosen(given)
    del chosen["at_once"]
    planned = bulk.plan(_target(user, given).servers(user), by=user, now=timezone.now(), **chosen)
    fields = ("verdict", "text", "players")
    return {
        "servers": [
            {"server_id": each.server.pk, "name": each.server.name, **{name: getattr(each, name) for name in fields}}
            for each in planned
        ]
    }


@router.post("/bulk", response={201: BulkOut}, summary="Start, stop, restart or move several servers, a few at a time")
def start_bulk(request: HttpRequest, given: BulkIn) -> Status[BulkAction]:
    require_scope(request, "operate")
    user = signed_in(request)
    return Status(201, bulk.start(target=_target(user, given), by=user, **_chosen(given)))


@router.get("/bulk", response=BulkPage, summary="Your actions on several servers; for admins all")
def list_bulk(request: HttpRequest, window: Query[Window]) -> dict[str, Any]:
    return listed(BulkAction.objects.visible_to(signed_in(request)).select_related("user"), window)


@router.get("/bulk/{id:bulk_id}", response=BulkDetailOut, summary="What became of each server")
def get_bulk(request: HttpRequest, bulk_id: int) -> BulkAction:
    return bulk.visible(signed_in(request), bulk_id)


@router.post("/bulk/{id:bulk_id}/cancel", response=BulkOut, summary="Cancel what has not begun")
def cancel_bulk(request: HttpRequest, bulk_id: int) -> BulkAction:
    require_scope(request, "operate")
    user = signed_in(request)
    bulk.cancel(bulk=bulk.visible(user, bulk_id), by=user)
    return bulk.visible(user, bulk_id)


def _target(user: User, given: BulkIn) -> bulk.Target:
    if sum([given.blueprint_id is not None, given.host_id is not None, bool(given.servers)]) != 1:
        raise Refused(_("Name a blueprint, a host or servers, and only one of them."))
    return bulk.target(user, blueprint=given.blueprint_id, host=given.host_id, ids=given.servers)


def _chosen(given: BulkIn) -> dict[str, Any]:
    condition = Condition.WAIT_SKIP if given.when_empty else Condition.ALWAYS
    return {
        "action": given.action,
        "condition": condition,
        "at_once": given.at_once,
        "only_changed": given.only_changed,
        "to_host": bulk.destination(given.to_host),
    }
