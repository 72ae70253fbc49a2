"""Schedules in the JSON API, and what is planned for a server."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from django.http import HttpRequest
from django.utils import timezone
from ninja import Field, Query, Router, Schema, Status

from accounts.models import User
from accounts.permissions import signed_in
from left4me.core import names
from left4me.core.web.api import Body, Window, changed_fields, listed, page_of, require_scope
from left4me.core.web.ids import Id
from left4me.schedules import actions, permissions, recurrence
from left4me.schedules.models import Run, Schedule
from servers import lookups
from servers.models import Blueprint, Server

router = Router(tags=["schedules"])

ActionName = Literal["restart", "start", "stop", "map", "commands", "back_up", "update_game", "refresh_workshop"]
ConditionName = Literal["always", "skip", "wait_skip", "wait_run"]

_TIMES = 5


class ScheduleOut(Schema):
    """A schedule with its next five times. Without server and blueprint it is for all servers of its owner."""

    id: int
    owner: str
    name: str
    server_id: int | None
    blueprint_id: int | None
    action: ActionName
    argument: str = Field(description="The map, or console commands, one per line")
    cron: str
    time_zone: str
    warn_minutes: list[int]
    condition: ConditionName = Field(description="What happens if players are online")
    wait_minutes: int
    catch_up: bool = Field(description="Whether a missed time is run late instead of listed as missed")
    is_enabled: bool
    next_times: list[datetime]

    @staticmethod
    def resolve_owner(schedule: Schedule) -> str:
        return schedule.owner.get_username()

    @staticmethod
    def resolve_next_times(schedule: Schedule) -> list[datetime]:
        if not schedule.is_enabled:
            return []
        return recurrence.next_times(schedule.cron, schedule.time_zone, after=timezone.now(), count=_TIMES)


SchedulePage = page_of(ScheduleOut, "SchedulePage")


class ScheduleIn(Body):
    name: str = Field(max_length=names.LONGEST)
    server_id: Id | None = None
    blueprint_id: Id | None = None
    action: ActionName
    argument: str = Field("", max_length=2000)
    cron: str = Field(max_length=100)
    time_zone: str = Field("UTC", max_length=64)
    warn_minutes: list[int] = Field([], max_length=10)
    condition: ConditionName = "always"
    wait_minutes: int = Field(120, ge=1, le=1440)
    catch_up: bool = False
    is_enabled: bool = True


class ScheduleChange(Body):
    """Fields that are left out keep their values."""

    name: str | None = Field(None, max_length=names.LONGEST)
    argument: str | None = Field(None, max_length=2000)
    cron: str | None = Field(None, max_length=100)
    time_zone: str | None = Field(None, max_length=64)
    warn_minutes: list[int] | None = Field(None, max_length=10)
    condition: ConditionName | None = None
    wait_minutes: int | None = Field(None, ge=1, le=1440)
    catch_up: bool | None = None
    is_enabled: bool | None = None


class RunOut(Schema):
    """One action on one server at one time."""

    id: int
    server_id: int
    schedule_id: int | None = Field(description="None for a run that somebody planned for an empty server")
    action: ActionName
    due_at: datetime
    wait_until: datetime | None
    state: Literal["waiting", "started", "skipped", "missed", "failed", "cancelled"]
    reason: str
    job_id: int | None
    ended_at: datetime | None


RunPage = page_of(RunOut, "RunPage")


class WhenEmptyIn(Body):
    action: Literal["restart", "stop"]


@router.get("/schedules", response=SchedulePage, summary="Your schedules; for admins all")
def list_schedules(request: HttpRequest, window: Query[Window]) -> dict[str, Any]:
    return listed(Schedule.objects.of(signed_in(request)).select_related("owner"), window)


@router.post("/schedules", response={201: ScheduleOut}, summary="Create a schedule")
def create_schedule(request: HttpRequest, given: ScheduleIn) -> Status[Schedule]:
    require_scope(request, "operate")
    user = signed_in(request)
    fields = given.model_dump(exclude={"server_id", "blueprint_id"})
    server, blueprint = _target(user, given)
    return Status(201, actions.create(owner=user, by=user, server=server, blueprint=blueprint, **fields))


@router.get("/schedules/{id:schedule_id}", response=ScheduleOut, summary="One schedule")
def get_schedule(request: HttpRequest, schedule_id: int) -> Schedule:
    return permissions.managed(signed_in(request), schedule_id)


@router.patch("/schedules/{id:schedule_id}", response=ScheduleOut, summary="Change or switch a schedule")
def change_schedule(request: HttpRequest, schedule_id: int, given: ScheduleChange) -> Schedule:
    require_scope(request, "operate")
    user = signed_in(request)
    schedule = permissions.managed(user, schedule_id)
    return actions.change(schedule=schedule, by=user, **changed_fields(given))


@router.delete("/schedules/{id:schedule_id}", response={204: None}, summary="Delete a schedule and its runs")
def delete_schedule(request: HttpRequest, schedule_id: int) -> Status[None]:
    require_scope(request, "operate")
    user = signed_in(request)
    actions.delete(schedule=permissions.managed(user, schedule_id), by=user)
    return Status(204, None)


@router.get("/schedules/{id:schedule_id}/runs", response=RunPage, summary="The runs of a schedule, the latest first")
def list_schedule_runs(request: HttpRequest, schedule_id: int, window: Query[Window]) -> dict[str, Any]:
    return listed(permissions.managed(signed_in(request), schedule_id).runs.all(), window)


@router.get("/servers/{id:server_id}/runs", response=RunPage, summary="Planned and past runs of a server")
def list_server_runs(request: HttpRequest, server_id: int, window: Query[Window]) -> dict[str, Any]:
    server = lookups.server_to_operate(signed_in(request), server_id)
    return listed(Run.objects.filter(server=server), window)


@router.post("/servers/{id:server_id}/runs", response={201: RunOut}, summary="Restart or stop when empty")
def plan_when_empty(request: HttpRequest, server_id: int, given: WhenEmptyIn) -> Status[Run]:
    require_scope(request, "operate")
    user = signed_in(request)
    server = lookups.server_to_operate(user, server_id)
    return Status(201, actions.plan_when_empty(server=server, action=given.action, by=user))


@router.delete("/servers/{id:server_id}/runs/{id:run_pk}", response={204: None}, summary="Cancel a planned run")
def cancel_run(request: HttpRequest, server_id: int, run_pk: int) -> Status[None]:
    require_scope(request, "operate")
    user = signed_in(request)
    server = lookups.server_to_operate(user, server_id)
    actions.cancel(run=permissions.run_to_cancel(user, server, run_pk), by=user)
    return Status(204, None)


def _target(user: User, given: ScheduleIn) -> tuple[Server | None, Blueprint | None]:
    server = lookups.server_to_operate(user, given.server_id) if given.server_id is not None else None
    blueprint = lookups.blueprint_or_404(user, given.blueprint_id) if given.blueprint_id is not None else None
    return server, blueprint
