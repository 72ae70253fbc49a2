"""Sends one message. Uses no database, so it may run in any thread."""

from __future__ import annotations

import json
import smtplib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.core.mail import EmailMessage
from django.utils.translation import gettext as _

from left4me.alerts.models import Channel
from left4me.core.net import fetch

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 8.0
_LONGEST_ANSWER = 8192

# Temporary errors. All others are likely to persist, but are retried too, since receivers get repaired.
_TOO_MANY = 429
# Status codes of a deleted webhook. Discord blocks clients that keep calling one.
_GONE = {Channel.Kind.DISCORD: (401, 403, 404, 410), Channel.Kind.WEBHOOK: (410,)}


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message with its decrypted address."""

    kind: str
    address: str
    body: Mapping[str, Any] = field(default_factory=dict)
    subject: str = ""
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of sending. `error` is empty on success; `wait` is the receiver's Retry-After; `gone` is for good."""

    error: str = ""
    wait: float | None = None
    gone: bool = False

    @property
    def arrived(self) -> bool:
        return not self.error


def client(hosts: fetch.AllowedHosts) -> fetch.Client:
    """An HTTP client with the timeouts of one message."""
    return fetch.Client(hosts=hosts, connect_timeout=CONNECT_SECONDS, read_timeout=ANSWER_SECONDS)


def carry(message: Message, client: fetch.Client) -> Outcome:
    """Send the message once. Errors are returned in the outcome, never raised."""
    if message.kind == Channel.Kind.EMAIL:
        return _mail(message)
    try:
        with client.send_json(message.address, message.body) as answer:
            return judge(message.kind, answer)
    except fetch.FetchError as fault:
        return not_reached(fault, message.address)


def not_reached(fault: fetch.FetchError, address: str) -> Outcome:
    """The outcome where there was no answer."""
    if isinstance(fault, fetch.HostRefused):
        return Outcome(error=_("%(reason)s. An admin can allow it with LEFT4ME_ALERT_ORIGINS.") % {"reason": fault})
    # The error may contain the address, which is a secret.
    return Outcome(error=str(fault).replace(address, "…"))


def judge(kind: str, answer: fetch.Answer) -> Outcome:
    """What the receiver's answer means."""
    status = answer.status
    if 200 <= status < 300:
        return Outcome()
    if status == _TOO_MANY:
        return Outcome(error=_("The receiver is rate limiting (HTTP 429). Retrying later."), wait=_retry_after(answer))
    if 300 <= status < 400:
        return Outcome(
            error=_("The receiver answered with a redirect (HTTP %(status)d). Enter the final address.")
            % {"status": status}
        )
    if status in _GONE.get(Channel.Kind(kind), ()):
        error = _("The receiver no longer exists or refuses access (HTTP %(status)d). The channel was turned off.")
        return Outcome(error=error % {"status": status}, gone=True)
    return Outcome(error=_("The receiver answered with HTTP %(status)d. Retrying later.") % {"status": status})


def _retry_after(answer: fetch.Answer) -> float:
    """Seconds to wait. Discord's body is exact; headers hold whole seconds."""
    try:
        body = json.loads(answer.body(limit=_LONGEST_ANSWER, within=ANSWER_SECONDS))
        return float(body["retry_after"])
    except (fetch.FetchError, ValueError, TypeError, KeyError):
        pass
    try:
        return float(answer.headers.get("Retry-After", ""))
    except ValueError:
        return 60.0


def _mail(message: Message) -> Outcome:
    try:
        EmailMessage(subject=message.subject, body=message.text, to=[message.address]).send()
    except (smtplib.SMTPException, OSError, ValueError) as fault:
        return Outcome(error=f"{type(fault).__name__}: {fault}".replace(message.address, "…"))
    return Outcome()
