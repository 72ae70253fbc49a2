"""Empties the outbox: what waits for one channel goes as one message, to several channels at once.

One slow receiver costs the others nothing: it is asked last and ever more seldom, and a round ends in time whatever
happens. A worker that dies between sending and noting it sends once more: twice is better than never.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F

from left4me.alerts import destinations, messages, transport
from left4me.alerts.models import Channel, Delivery, Incident
from left4me.alerts.transport import Outcome, Parcel
from left4me.core import secrets
from left4me.core.net import fetch

logger = logging.getLogger(__name__)

AT_ONCE = 8
ROUND_SECONDS = 12.0
# Longer than a message can take: afterwards its worker is dead.
CLAIM = timedelta(seconds=60)

# The first alert goes at once; what comes within the pause goes together. Who gets many is told more seldom.
PAUSE = timedelta(seconds=10)
LONG_PAUSE = timedelta(minutes=5)
MESSAGES_AN_HOUR = 12

_FIRST_BACK_OFF, _LONGEST_BACK_OFF = 10.0, 3600.0
_LONGEST_WAIT = 3600.0
# More than a message names, and enough to count; the rest of a flood goes with the next message.
_TAKEN_AT_ONCE = 500
_LONGEST_ERROR = 300

KEPT = timedelta(days=30)


@dataclass
class Summary:
    messages: int = 0
    failed: int = 0
    dropped: int = 0


def send(*, now: datetime) -> Summary:
    """Send what is due; returns after ROUND_SECONDS and one message's time at the latest."""
    summary = Summary(dropped=_drop_outdated(now))
    deadline = time.monotonic() + ROUND_SECONDS
    tried: set[int] = set()
    with transport.client(destinations.allowed()) as client, ThreadPoolExecutor(AT_ONCE, "alert") as pool:
        while time.monotonic() < deadline:
            due = [each for each in Channel.objects.due(now)[: AT_ONCE + len(tried)] if each.pk not in tried][:AT_ONCE]
            if not due:
                break
            tried.update(each.pk for each in due)
            claimed = [each for each in due if _claim(each, now)]
            _send_some(claimed, client, pool, summary, now)
    return summary


def _send_some(
    channels: list[Channel], client: fetch.Client, pool: ThreadPoolExecutor, summary: Summary, now: datetime
) -> None:
    alerts = {each.pk: list(each.waiting()[:_TAKEN_AT_ONCE]) for each in channels}
    parcels = {each.pk: _pack(each, alerts[each.pk]) for each in channels if alerts[each.pk]}
    under_way = {
        pk: pool.submit(transport.carry, parcel, client)
        for pk, parcel in parcels.items()
        if isinstance(parcel, Parcel)
    }
    for channel in channels:
        parcel = parcels.get(channel.pk)
        if parcel is None:
            Channel.objects.filter(pk=channel.pk).update(claimed_until=None)
            continue
        try:
            outcome = parcel if isinstance(parcel, Outcome) else under_way[channel.pk].result()
        except Exception as fault:  # one channel's surprise must not hold up the others
            logger.exception("Alerts of channel %s could not be sent", channel.pk)
            outcome = Outcome(error=type(fault).__name__)
        summary.messages += outcome.arrived
        summary.failed += not outcome.arrived
        _settle(channel, alerts[channel.pk], outcome, now)


def _claim(channel: Channel, now: datetime) -> bool:
    """Take the channel for this worker: the message that asks for a round may have been doubled."""
    unchanged = Channel.objects.filter(pk=channel.pk, claimed_until=channel.claimed_until)
    if channel.claimed_until is None:
        unchanged = Channel.objects.filter(pk=channel.pk, claimed_until__isnull=True)
    return unchanged.update(claimed_until=now + CLAIM) == 1


def _pack(channel: Channel, alerts: list[Delivery]) -> Parcel | Outcome:
    try:
        address, code = channel.address, secrets.unseal(channel.sealed_code)
    except secrets.Unreadable as fault:
        return Outcome(error=str(fault))
    site = settings.LEFT4ME_PUBLIC_URL
    if channel.kind == Channel.Kind.EMAIL:
        subject, text = messages.mail(alerts, site=site, code=code)
        return Parcel(kind=channel.kind, address=address, subject=subject, text=text)
    form = messages.discord if channel.kind == Channel.Kind.DISCORD else messages.webhook
    return Parcel(kind=channel.kind, address=address, body=form(alerts, site=site))


def _settle(channel: Channel, alerts: list[Delivery], outcome: Outcome, now: datetime) -> None:
    row = Channel.objects.filter(pk=channel.pk)
    rows = Delivery.objects.waiting().filter(pk__in=[alert.pk for alert in alerts])
    with transaction.atomic():
        if outcome.arrived:
            rows.update(state=Delivery.State.SENT, ended_at=now, attempts=F("attempts") + 1)
            row.update(claimed_until=None, failures=0, last_error="", last_delivered_at=now, **_paced(channel, now))
            return
        logger.info("Channel %s did not take %d alerts: %s", channel.pk, len(alerts), outcome.error)
        rows.update(attempts=F("attempts") + 1)
        told = {"last_error": outcome.error[:_LONGEST_ERROR], "last_error_at": now, "claimed_until": None}
        if outcome.gone:
            row.update(**told, is_enabled=False, failures=F("failures") + 1)
            rows.update(state=Delivery.State.DROPPED, ended_at=now)
        elif outcome.wait is not None:
            row.update(**told, not_before=now + timedelta(seconds=_within(outcome.wait, _LONGEST_WAIT)))
        else:
            row.update(**told, not_before=now + _back_off(channel.failures), failures=F("failures") + 1)


def _paced(channel: Channel, now: datetime) -> dict[str, object]:
    """When the channel may be told next."""
    began, count = channel.hour_began_at, channel.messages_this_hour
    if began is None or now - began >= timedelta(hours=1):
        began, count = now, 0
    count += 1
    pause = PAUSE if count < MESSAGES_AN_HOUR else LONG_PAUSE
    return {"hour_began_at": began, "messages_this_hour": count, "not_before": now + pause}


def _back_off(failures: int) -> timedelta:
    seconds = min(_FIRST_BACK_OFF * 3 ** min(failures, 10), _LONGEST_BACK_OFF)
    # Spread: channels that failed together must not come back together.
    return timedelta(seconds=seconds * random.uniform(0.8, 1.2))  # noqa: S311 -- no secret


def _within(seconds: float, most: float) -> float:
    # A receiver's word may be nonsense: `nan`, below 0, or years.
    return min(max(seconds, 1.0), most) if seconds == seconds else most


def _drop_outdated(now: datetime) -> int:
    """Old news is no news: what nobody took for so long is dropped."""
    too_old = now - timedelta(days=settings.LEFT4ME_ALERT_DAYS)
    outdated = Delivery.objects.waiting().filter(created_at__lt=too_old)
    return outdated.update(state=Delivery.State.DROPPED, ended_at=now)


def prune(*, now: datetime) -> int:
    """Forget what was told and what ended long ago; return how many rows went."""
    old = now - KEPT
    told = Delivery.objects.filter(created_at__lt=old).exclude(state=Delivery.State.WAITING)
    return _count(told.delete(), Incident.objects.filter(closed_at__lt=old).delete())


def _count(*deleted: tuple[int, object]) -> int:
    return sum(number for number, _ in deleted)


def drop(channels: Iterable[Channel], *, now: datetime) -> None:
    """Let go of what waits for these channels: who switches one on again wants no old news."""
    waiting = Delivery.objects.waiting().filter(channel__in=list(channels))
    waiting.update(state=Delivery.State.DROPPED, ended_at=now)
