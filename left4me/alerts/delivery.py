"""Sends the waiting deliveries: all of one channel as one message, to several channels in parallel.

A slow receiver does not delay the others: it comes last, after growing pauses, and a round has a deadline. A worker
that dies between sending and recording it sends the message again: delivery is at least once.
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
from django.db.models import F, Q

from left4me.alerts import destinations, messages, transport
from left4me.alerts.events import CHATTER
from left4me.alerts.models import Channel, Delivery, Incident
from left4me.alerts.transport import Message, Outcome
from left4me.core import secrets
from left4me.core.net import fetch
from left4me.core.redis import signals

logger = logging.getLogger(__name__)

AT_ONCE = 8
ROUND_SECONDS = 12.0
# Longer than sending can take: a claim that is older belongs to a dead worker.
CLAIM = timedelta(seconds=60)

# The first alert is sent at once, those that follow within the pause as one message. Busy channels pause longer.
PAUSE = timedelta(seconds=10)
LONG_PAUSE = timedelta(minutes=5)
MESSAGES_AN_HOUR = 12

_FIRST_BACK_OFF, _LONGEST_BACK_OFF = 10.0, 3600.0
_LONGEST_WAIT = 3600.0
# More than a message lists. The rest is sent with the next message.
_TAKEN_AT_ONCE = 500
_LONGEST_ERROR = 300

KEPT = timedelta(days=30)
# An incident that nobody closes: what it is about was deleted.
OPEN_KEPT = timedelta(days=365)


@dataclass
class Summary:
    messages: int = 0
    failed: int = 0
    dropped: int = 0


def send(*, now: datetime) -> Summary:
    """Send the due messages. Takes at most ROUND_SECONDS and the time of one message."""
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


def follow_clock(step: timedelta) -> None:
    """Move the pauses of all channels by the time by which the clock was set, so that they last no longer."""
    for field in ("not_before", "claimed_until"):
        Channel.objects.exclude(**{field: None}).update(**{field: F(field) + step})


def _send_some(
    channels: list[Channel], client: fetch.Client, pool: ThreadPoolExecutor, summary: Summary, now: datetime
) -> None:
    alerts = {each.pk: list(each.waiting()[:_TAKEN_AT_ONCE]) for each in channels}
    outgoing = {each.pk: _pack(each, alerts[each.pk]) for each in channels if alerts[each.pk]}
    under_way = {
        pk: pool.submit(transport.carry, message, client)
        for pk, message in outgoing.items()
        if isinstance(message, Message)
    }
    for channel in channels:
        message = outgoing.get(channel.pk)
        if message is None:
            Channel.objects.filter(pk=channel.pk).update(claimed_until=None)
            continue
        try:
            outcome = message if isinstance(message, Outcome) else under_way[channel.pk].result()
        except Exception as fault:  # an unexpected error of one channel must not stop the others
            logger.exception("Could not send alerts of channel %s", channel.pk)
            outcome = Outcome(error=type(fault).__name__)
        summary.messages += outcome.arrived
        summary.failed += not outcome.arrived
        _settle(channel, alerts[channel.pk], outcome, now)


def _claim(channel: Channel, now: datetime) -> bool:
    """Claim the channel for this worker: the Celery message that starts a round may be delivered twice."""
    unchanged = Channel.objects.filter(pk=channel.pk, claimed_until=channel.claimed_until)
    if channel.claimed_until is None:
        unchanged = Channel.objects.filter(pk=channel.pk, claimed_until__isnull=True)
    return unchanged.update(claimed_until=now + CLAIM) == 1


def _pack(channel: Channel, alerts: list[Delivery]) -> Message | Outcome:
    try:
        address, code = channel.address, secrets.unseal(channel.sealed_code)
    except secrets.Unreadable as fault:
        return Outcome(error=str(fault))
    site = settings.LEFT4ME_PUBLIC_URL
    if channel.kind == Channel.Kind.EMAIL:
        subject, text = messages.mail(alerts, site=site, code=code)
        return Message(kind=channel.kind, address=address, subject=subject, text=text)
    form = messages.discord if channel.kind == Channel.Kind.DISCORD else messages.webhook
    return Message(kind=channel.kind, address=address, body=form(alerts, site=site))


def _settle(channel: Channel, alerts: list[Delivery], outcome: Outcome, now: datetime) -> None:
    row = Channel.objects.filter(pk=channel.pk)
    rows = Delivery.objects.waiting().filter(pk__in=[alert.pk for alert in alerts])
    with transaction.atomic():
        signals.send_after_commit(f"{signals.CHANNEL}:{channel.pk}")
        if outcome.arrived:
            rows.update(state=Delivery.State.SENT, ended_at=now, attempts=F("attempts") + 1)
            row.update(
                claimed_until=None, failures=0, last_error="", last_delivered_at=now, **_paced(channel, alerts, now)
            )
            return
        logger.info("Channel %s: could not deliver %d alerts: %s", channel.pk, len(alerts), outcome.error)
        rows.update(attempts=F("attempts") + 1)
        failure = {"last_error": outcome.error[:_LONGEST_ERROR], "last_error_at": now, "claimed_until": None}
        if outcome.gone:
            row.update(**failure, is_enabled=False, failures=F("failures") + 1)
            rows.update(state=Delivery.State.DROPPED, ended_at=now)
        elif outcome.wait is not None:
            row.update(**failure, not_before=now + timedelta(seconds=within(outcome.wait)))
        else:
            row.update(**failure, not_before=now + back_off(channel.failures), failures=F("failures") + 1)


def _paced(channel: Channel, alerts: list[Delivery], now: datetime) -> dict[str, object]:
    """The fields that say when the next message may be sent."""
    if all(alert.event in CHATTER for alert in alerts):
        # Players who come and go must not delay the alert of a crash.
        return {"not_before": now + PAUSE}
    hour_began_at, count = channel.hour_began_at, channel.messages_this_hour
    if hour_began_at is None or now - hour_began_at >= timedelta(hours=1):
        hour_began_at, count = now, 0
    count += 1
    pause = PAUSE if count < MESSAGES_AN_HOUR else LONG_PAUSE
    return {"hour_began_at": hour_began_at, "messages_this_hour": count, "not_before": now + pause}


def back_off(failures: int) -> timedelta:
    """The pause after a failure that follows so many others."""
    seconds = min(_FIRST_BACK_OFF * 3 ** min(failures, 10), _LONGEST_BACK_OFF)
    # Jitter, so that channels that failed together are not all retried at once.
    return timedelta(seconds=seconds * random.uniform(0.8, 1.2))  # noqa: S311 -- no secret


def within(seconds: float, most: float = _LONGEST_WAIT) -> float:
    """The seconds to wait that a receiver asks for, within reason."""
    # The receiver's value is untrusted: it may be `nan`, negative or years.
    return min(max(seconds, 1.0), most) if seconds == seconds else most


def _drop_outdated(now: datetime) -> int:
    """Drop deliveries that could not be sent for LEFT4ME_ALERT_DAYS."""
    too_old = now - timedelta(days=settings.LEFT4ME_ALERT_DAYS)
    outdated = Delivery.objects.waiting().filter(created_at__lt=too_old)
    return outdated.update(state=Delivery.State.DROPPED, ended_at=now)


def prune(*, now: datetime) -> int:
    """Delete old deliveries, and incidents that were closed or reported long ago. Return how many rows."""
    old = now - KEPT
    ended = Delivery.objects.filter(created_at__lt=old).exclude(state=Delivery.State.WAITING)
    forgotten = Q(closed_at=None, last_at__lt=now - OPEN_KEPT)
    return _count(ended.delete(), Incident.objects.filter(Q(closed_at__lt=old) | forgotten).delete())


def _count(*deleted: tuple[int, object]) -> int:
    return sum(number for number, _ in deleted)


def drop(channels: Iterable[Channel], *, now: datetime) -> None:
    """Drop the waiting deliveries of these channels, so that enabling one again does not send old alerts."""
    waiting = Delivery.objects.waiting().filter(channel__in=list(channels))
    waiting.update(state=Delivery.State.DROPPED, ended_at=now)
