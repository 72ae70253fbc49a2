"""Keeps messages in Discord up to date: posted once through a webhook, edited when something in them changes."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from celery import shared_task
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from left4me.alerts import delivery, destinations, transport
from left4me.alerts.models import Channel
from left4me.alerts.transport import Outcome
from left4me.core import secrets
from left4me.core.concurrency import skipped_while_active
from left4me.core.net import fetch
from left4me.status_pages import content, embeds
from left4me.status_pages.models import StatusMessage

logger = logging.getLogger(__name__)

# A message changes at most this often, although players come and go more often.
PACE: Final = timedelta(seconds=15)
AT_ONCE: Final = 8
_MOST_A_ROUND: Final = 80
# A message that cannot be deleted for so many tries stays in Discord.
_TRIES_TO_DELETE: Final = 5
_LONGEST_ANSWER: Final = 65536
_LONGEST_ERROR: Final = 300
# Discord's code of a message that somebody has deleted; other codes of a 404 mean the webhook.
_UNKNOWN_MESSAGE: Final = 10008


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of a request: the message's id ("" when it does not exist), and when Discord takes the next one."""

    outcome: Outcome
    message_id: str = ""
    pause: float = 0.0


@shared_task(name="left4me.status_pages.send", ignore_result=True)
@skipped_while_active
def send_due() -> None:
    """Update the messages in Discord. Skipped while the previous run is still active."""
    send(now=timezone.now())


def send(*, now: datetime) -> int:
    """Post, edit and delete the messages that are due; return how many requests succeeded."""
    free = Q(not_before=None) | Q(not_before__lte=now)
    paced = Q(is_wanted=False) | Q(sent_at=None) | Q(sent_at__lte=now - PACE)
    on = Q(is_wanted=False) | Q(channel__is_enabled=True, channel__user__is_active=True)
    due = StatusMessage.objects.filter(free, paced, on).select_related("channel", "page").order_by("sent_at", "pk")
    work: list[tuple[StatusMessage, str, Callable[[fetch.Client], Result]]] = []
    for message in due[:_MOST_A_ROUND]:
        if (planned := _planned(message, now=now)) is not None:
            work.append((message, *planned))
    done = 0
    if not work:
        return done
    with transport.client(destinations.allowed()) as client, ThreadPoolExecutor(AT_ONCE, "discord") as pool:
        under_way = [(message, digest, pool.submit(request, client)) for message, digest, request in work]
        for message, digest, future in under_way:
            try:
                result = future.result()
            except Exception as fault:  # an unexpected error of one message must not stop the others
                logger.exception("Could not update the status message of channel %s", message.channel_id)
                result = Result(outcome=Outcome(error=type(fault).__name__), message_id=message.message_id)
            done += result.outcome.arrived
            _settle(message, digest, result, now)
    return done


def _planned(message: StatusMessage, *, now: datetime) -> tuple[str, Callable[[fetch.Client], Result]] | None:
    """The digest of what to send, and the request; None when Discord shows it already."""
    try:
        address = message.channel.address
    except secrets.Unreadable as fault:
        unreadable = Result(outcome=Outcome(error=str(fault)), message_id=message.message_id)
        return "", lambda client: unreadable
    message_id = message.message_id
    if not message.is_wanted:
        return "", lambda client: _delete(client, address, message_id)
    body = embeds.of(message.page, content.of(message.page, now=now))
    digest = hashlib.sha256(json.dumps([address, body], sort_keys=True).encode()).hexdigest()
    if message_id and digest == message.digest:
        return None
    stamped = embeds.with_time(body, now)
    return digest, lambda client: _publish(client, address, message_id, stamped)


def _publish(client: fetch.Client, address: str, message_id: str, body: dict[str, Any]) -> Result:
    """Edit the message. If somebody has deleted it in Discord, or there is none yet, post one."""
    if message_id:
        result = _request(client, _place(address, message_id), body, method="PATCH")
        if result.message_id:
            return replace(result, message_id=message_id)
    result = _request(client, _place(address), {**body, "username": "left4me"}, method="POST")
    if result.outcome.arrived and not result.message_id:
        return replace(result, outcome=Outcome(error=_("This webhook does not answer like Discord's.")))
    return result


def _delete(client: fetch.Client, address: str, message_id: str) -> Result:
    if not message_id:
        return Result(outcome=Outcome())
    result = _request(client, _place(address, message_id), None, method="DELETE")
    return replace(result, outcome=result.outcome if result.message_id else Outcome())


def _request(client: fetch.Client, url: str, body: dict[str, Any] | None, *, method: str) -> Result:
    try:
        with client.send_json(url, body, method=method) as answer:
            pause = _pause(answer)
            said = {} if answer.status in (204, 429) else _said(answer)
            if answer.status == 404 and said.get("code") == _UNKNOWN_MESSAGE:
                return Result(outcome=Outcome(error="unknown message"), pause=pause)
            outcome = transport.judge(Channel.Kind.DISCORD, answer)
            # Any other answer says nothing about the message, which may still be there.
            found = str(said.get("id", ""))[:32] if outcome.arrived and method == "POST" else "?"
            return Result(outcome=outcome, message_id="" if method == "POST" and outcome.error else found, pause=pause)
    except fetch.FetchError as fault:
        return Result(outcome=transport.not_reached(fault, url), message_id="" if method == "POST" else "?")


def _said(answer: fetch.Answer) -> dict[str, Any]:
    try:
        said = json.loads(answer.body(limit=_LONGEST_ANSWER, within=transport.ANSWER_SECONDS))
    except (fetch.FetchError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _pause(answer: fetch.Answer) -> float:
    """Seconds until Discord takes the next request of this webhook, where this was the last one of its window."""
    if answer.headers.get("X-RateLimit-Remaining") != "0":
        return 0.0
    try:
        return delivery.within(float(answer.headers.get("X-RateLimit-Reset-After", "")))
    except ValueError:
        return 0.0


def _place(address: str, message_id: str = "") -> str:
    """The address of the message, or that to which a new one is posted; a thread of the webhook is kept."""
    parts = urlsplit(address)
    if message_id:
        return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/messages/{message_id}"))
    return urlunsplit(parts._replace(query="&".join(filter(None, [parts.query, "wait=true"]))))


def _settle(message: StatusMessage, digest: str, result: Result, now: datetime) -> None:
    # Whoever changed the row meanwhile wants something else: that is done in the next round.
    row = StatusMessage.objects.filter(pk=message.pk, is_wanted=message.is_wanted, page_id=message.page_id)
    outcome = result.outcome
    if not message.is_wanted and (outcome.arrived or outcome.gone or message.failures + 1 >= _TRIES_TO_DELETE):
        row.delete()
        return
    if outcome.arrived:
        not_before = now + timedelta(seconds=result.pause) if result.pause else None
        row.update(
            message_id=result.message_id,
            digest=digest,
            sent_at=now,
            not_before=not_before,
            failures=0,
            last_error="",
        )
        return
    logger.info("Channel %s: could not update its status message: %s", message.channel_id, outcome.error)
    wait = timedelta(seconds=delivery.within(outcome.wait)) if outcome.wait is not None else None
    kept = message.message_id if result.message_id else ""
    with transaction.atomic():
        row.update(
            message_id=kept,
            last_error=outcome.error[:_LONGEST_ERROR],
            not_before=now + (wait or delivery.back_off(message.failures)),
            failures=F("failures") if wait else F("failures") + 1,
        )
        if outcome.gone:
            # Discord blocks clients that keep calling a webhook that is gone.
            Channel.objects.filter(pk=message.channel_id).update(
                is_enabled=False, last_error=outcome.error[:_LONGEST_ERROR], last_error_at=now
            )
