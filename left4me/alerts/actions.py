"""Actions on alert channels. Each writes an audit entry, without the address, which is a secret."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from hmac import compare_digest
from secrets import token_hex
from typing import Any, TypedDict, Unpack

from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from left4me.alerts import delivery, destinations
from left4me.alerts.events import Event, choosable
from left4me.alerts.models import Channel, Delivery
from left4me.audit import record
from left4me.core import rows, secrets
from left4me.core.redis import rate_limit
from left4me.core.web import refusals
from left4me.core.web.refusals import Cure
from left4me.core.web.request import Person

Refused = refusals.Refused

MOST_CHANNELS = 20
# A test sends something to a machine or mailbox of others.
TESTS = rate_limit.Limit("alert-test", 10, 600)

_GUESSES = rate_limit.Limit("alert-code", 10, 600)

_PLACES = {"name_taken": "name"}


@transaction.atomic
def create(
    *,
    user: Person,
    name: str,
    kind: str,
    address: str,
    events: Collection[str],
    everything: bool = False,
    request: HttpRequest | None = None,
) -> Channel:
    """Create a channel. Raises ValidationError, and Refused if the user has too many."""
    rows.take_turns(user.pk)
    if Channel.objects.filter(user_id=user.pk).count() >= MOST_CHANNELS:
        raise Refused(
            _("You already have %(most)d alert channels, the most that one user can have. Delete one first.")
            % {"most": MOST_CHANNELS},
            cure=Cure(label=_("Show alert channels"), url=reverse("alerts:channels")),
        )
    channel = Channel(user_id=user.pk, kind=kind)
    _fill(channel, owner=user, name=name, events=events, everything=everything)
    _lead(channel, address)
    rows.save_clean(channel, places=_PLACES)
    _ask_to_confirm(channel, by=user)
    _note("create", channel, by=user, request=request, kind=kind, events=channel.events)
    return channel


class ChannelChanges(TypedDict, total=False):
    name: str
    address: str
    events: Collection[str]
    everything: bool


@transaction.atomic
def change(
    *, channel: Channel, by: Person, request: HttpRequest | None = None, **changes: Unpack[ChannelChanges]
) -> Channel:
    """Change a channel and return it; an empty `address` leaves the stored one. Raises ValidationError."""
    owner: Any = channel.user
    address = changes.pop("address", "")
    _fill(
        channel,
        owner=owner,
        name=changes.get("name", channel.name),
        events=changes.get("events", channel.events),
        everything=changes.get("everything", channel.everything),
    )
    if address:
        _lead(channel, address)
        # Errors of the old address do not apply to the new one.
        channel.failures, channel.not_before, channel.last_error, channel.last_error_at = 0, None, "", None
    rows.save_clean(channel, places=_PLACES)
    if address:
        _ask_to_confirm(channel, by=by)
    _note("change", channel, by=by, request=request, events=channel.events, address_changed=bool(address))
    return channel


@transaction.atomic
def confirm(*, channel: Channel, code: str, by: Person, request: HttpRequest | None = None) -> None:
    """Confirm a mailbox by the code sent to it. Raises Refused for a wrong code, and rate_limit.RateLimited."""
    rate_limit.enforce(_GUESSES, f"channel:{channel.pk}")
    try:
        expected = secrets.unseal(channel.sealed_code)
    except secrets.Unreadable as fault:
        raise Refused(str(fault)) from None
    if not compare_digest(code.strip().upper().encode(), expected.encode()):
        raise Refused(
            _("Wrong code. Enter the code from the latest e-mail."),
            cure=Cure(label=_("Send a new code"), url=reverse("alerts:test", args=[channel.pk]), operation="test"),
        )
    channel.sealed_code = ""
    channel.save(update_fields=["sealed_code"])
    _note("confirm", channel, by=by, request=request)


@transaction.atomic
def switch(*, channel: Channel, on: bool, by: Person, now: datetime, request: HttpRequest | None = None) -> None:
    """Enable or disable a channel. Disabling it drops its waiting deliveries."""
    channel.is_enabled = on
    channel.failures, channel.not_before = 0, None
    channel.save(update_fields=["is_enabled", "failures", "not_before"])
    if not on:
        delivery.drop([channel], now=now)
    _note("enable" if on else "disable", channel, by=by, request=request)


@transaction.atomic
def delete(*, channel: Channel, by: Person, request: HttpRequest | None = None) -> None:
    _note("delete", channel, by=by, request=request)
    channel.delete()


@transaction.atomic
def test(*, channel: Channel, by: Person, now: datetime, request: HttpRequest | None = None) -> Delivery:
    """Queue a test, which is sent like an alert within seconds. An unconfirmed mailbox gets its code once more.

    Raises Refused and rate_limit.RateLimited.
    """
    if not channel.is_enabled:
        raise Refused(
            _("This channel is off. Turn it on first."),
            cure=Cure(label=_("Turn on"), url=reverse("alerts:switch", args=[channel.pk]), operation="on"),
        )
    rate_limit.enforce(TESTS, f"user:{by.pk}")
    # A test is sent at once, without waiting for the back-off to end.
    Channel.objects.filter(pk=channel.pk).update(not_before=None)
    _note("test", channel, by=by, request=request)
    if not channel.is_confirmed:
        return _question(channel, now=now)
    return Delivery.objects.create(
        channel=channel,
        event=Event.TEST,
        title=_("Test alert"),
        text=_("Alerts of the channel “%(name)s” arrive here.") % {"name": channel.name},
        path="/accounts/alerts/",
        created_at=now,
    )


def _fill(channel: Channel, *, owner: Person, name: str, events: Collection[str], everything: bool) -> None:
    possible = choosable(by_admin=owner.is_admin)
    # A former admin may still have events that only admins can choose: saving removes them.
    refused = sorted(set(events) - set(possible) - set(channel.events))
    if refused:
        raise ValidationError(
            {
                "events": _("You can't choose these events: %(events)s. Only admins can.")
                % {"events": ", ".join(refused)}
            }
        )
    if not events:
        raise ValidationError({"events": _("Choose at least one event.")})
    if everything and not owner.is_admin:
        raise ValidationError({"everything": _("Only admins can get alerts for the servers of all users.")})
    channel.name, channel.everything = name, everything
    channel.events = [event.value for event in possible if event in events]


def _lead(channel: Channel, address: str) -> None:
    try:
        channel.address = destinations.clean(channel.kind, address)
    except ValidationError as fault:
        raise ValidationError({"address": fault.messages}) from None


def _ask_to_confirm(channel: Channel, *, by: Person) -> None:
    """Send the confirmation code to a new mailbox. Nothing else is sent there until it is confirmed."""
    if channel.kind != Channel.Kind.EMAIL:
        return
    rate_limit.enforce(TESTS, f"user:{by.pk}")
    channel.sealed_code = secrets.seal(token_hex(4).upper())
    channel.save(update_fields=["sealed_code"])
    _question(channel, now=timezone.now())


def _question(channel: Channel, *, now: datetime) -> Delivery:
    return Delivery.objects.create(
        channel=channel,
        event=Event.CONFIRM,
        title=_("Confirm your e-mail address"),
        text=_("Enter this code on the page of the alert channel “%(name)s”.") % {"name": channel.name},
        path=reverse("alerts:channel", args=[channel.pk]),
        created_at=now,
    )


def _note(act: str, channel: Channel, *, by: Person, request: HttpRequest | None, **details: Any) -> None:
    record.write(
        action=f"alert.{act}", by=by, target=f"alert:{channel.pk}", request=request, name=channel.name, **details
    )
