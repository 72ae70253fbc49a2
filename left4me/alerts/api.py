"""Alert channels in the JSON API."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from django.http import HttpRequest
from django.utils import timezone
from ninja import Field, Query, Router, Schema, Status

from left4me.alerts import actions, destinations, permissions
from left4me.alerts.models import Channel, Delivery
from left4me.core import names
from left4me.core.web.api import Body, Window, changed_fields, listed, page_of, require_scope
from left4me.core.web.request import current_user

router = Router(tags=["alerts"])

EventName = Literal[
    "server_crashed",
    "server_gave_up",
    "server_recovered",
    "job_failed",
    "server_started",
    "server_stopped",
    "server_full",
    "server_empty",
    "player_joined",
    "player_left",
    "game_updated",
    "disk_low",
    "database_damaged",
    "backup_late",
    "copies_late",
    "host_silent",
    "host_recovered",
]


class AlertOut(Schema):
    """An alert channel: its address, of which only a part is shown, and its events."""

    id: int
    user: str
    name: str
    kind: Literal["discord", "webhook", "email"]
    address: str
    events: list[str]
    everything: bool
    is_enabled: bool
    is_confirmed: bool
    created_at: datetime
    last_delivered_at: datetime | None
    last_error: str
    last_error_at: datetime | None

    @staticmethod
    def resolve_user(channel: Channel) -> str:
        return channel.user.get_username()

    @staticmethod
    def resolve_address(channel: Channel) -> str:
        return channel.masked_address


AlertPage = page_of(AlertOut, "AlertPage")


class AlertIn(Body):
    name: str = Field(max_length=names.LONGEST)
    kind: Literal["discord", "webhook", "email"]
    address: str = Field(max_length=destinations.LONGEST, description="A webhook URL (https) or an e-mail address")
    events: list[EventName] = Field(min_length=1, max_length=20)
    everything: bool = Field(False, description="Include the servers and jobs of all users (admins only)")


class AlertChange(Body):
    """Fields that are left out keep their values."""

    name: str | None = Field(None, max_length=names.LONGEST)
    address: str | None = Field(None, max_length=destinations.LONGEST)
    events: list[EventName] | None = Field(None, min_length=1, max_length=20)
    everything: bool | None = None
    is_enabled: bool | None = None


class CodeIn(Body):
    code: str = Field(max_length=32)


class DeliveryOut(Schema):
    id: int
    event: str
    subject: str
    title: str
    text: str
    state: Literal["waiting", "sent", "dropped"]
    attempts: int
    created_at: datetime
    ended_at: datetime | None


DeliveryPage = page_of(DeliveryOut, "DeliveryPage")


@router.get("/alerts", response=AlertPage, summary="Your alert channels")
def list_alerts(request: HttpRequest, window: Query[Window]) -> dict[str, Any]:
    return listed(Channel.objects.filter(user_id=current_user(request).pk).select_related("user"), window)


@router.post("/alerts", response={201: AlertOut}, summary="Add alert channel")
def create_alert(request: HttpRequest, given: AlertIn) -> Status[Channel]:
    require_scope(request, "operate")
    channel = actions.create(
        user=current_user(request),
        name=given.name,
        kind=given.kind,
        address=given.address,
        events=given.events,
        everything=given.everything,
        request=request,
    )
    return Status(201, channel)


@router.get("/alerts/{id:alert_id}", response=AlertOut, summary="One alert channel")
def get_alert(request: HttpRequest, alert_id: int) -> Channel:
    return permissions.managed(current_user(request), alert_id)


@router.patch("/alerts/{id:alert_id}", response=AlertOut, summary="Change an alert channel, or turn it on or off")
def change_alert(request: HttpRequest, alert_id: int, given: AlertChange) -> Channel:
    require_scope(request, "operate")
    user = current_user(request)
    channel = permissions.managed(user, alert_id)
    changes = changed_fields(given)
    is_enabled = changes.pop("is_enabled", channel.is_enabled)
    if changes:
        actions.change(channel=channel, by=user, request=request, **changes)
    if is_enabled != channel.is_enabled:
        actions.switch(channel=channel, on=is_enabled, by=user, now=timezone.now(), request=request)
    return permissions.managed(user, alert_id)


@router.delete("/alerts/{id:alert_id}", response={204: None}, summary="Delete an alert channel")
def delete_alert(request: HttpRequest, alert_id: int) -> Status[None]:
    require_scope(request, "operate")
    user = current_user(request)
    actions.delete(channel=permissions.managed(user, alert_id), by=user, request=request)
    return Status(204, None)


@router.post("/alerts/{id:alert_id}/test", response={202: DeliveryOut}, summary="Send a test to an alert channel")
def test_alert(request: HttpRequest, alert_id: int) -> Status[Delivery]:
    """The test is sent like an alert, within seconds. `/alerts/{id}/deliveries` shows the result."""
    require_scope(request, "operate")
    user = current_user(request)
    channel = permissions.managed(user, alert_id)
    delivery = actions.test(channel=channel, by=user, now=timezone.now(), request=request)
    return Status(202, delivery)


@router.post(
    "/alerts/{id:alert_id}/confirm", response=AlertOut, summary="Confirm an e-mail address with the code sent to it"
)
def confirm_alert(request: HttpRequest, alert_id: int, given: CodeIn) -> Channel:
    require_scope(request, "operate")
    user = current_user(request)
    channel = permissions.managed(user, alert_id)
    actions.confirm(channel=channel, code=given.code, by=user, request=request)
    return channel


@router.get(
    "/alerts/{id:alert_id}/deliveries", response=DeliveryPage, summary="Deliveries of an alert channel, newest first"
)
def list_deliveries(request: HttpRequest, alert_id: int, window: Query[Window]) -> dict[str, Any]:
    return listed(permissions.managed(current_user(request), alert_id).deliveries.all(), window)
