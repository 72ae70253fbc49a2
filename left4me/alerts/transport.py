"""Carrying one message to where it is to go. Knows no rows, so it may run in any thread."""

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

# No answer in time, or not now: everything else that is refused will be refused again, yet people mend things.
_TOO_MANY = 429
# What says that the webhook is gone. Discord shuts out who goes on asking.
_GONE = {Channel.Kind.DISCORD: (401, 403, 404, 410), Channel.Kind.WEBHOOK: (410,)}


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """A message with its address opened."""

    kind: str
    address: str
    body: Mapping[str, Any] = field(default_factory=dict)
    subject: str = ""
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """`error` is empty when it arrived. `wait`: the receiver says when to come again. `gone`: it takes no more."""

    error: str = ""
    wait: float | None = None
    gone: bool = False

    @property
    def arrived(self) -> bool:
        return not self.error


def client(hosts: fetch.AllowedHosts) -> fetch.Client:
    """A client as patient as one message may be."""
    return fetch.Client(hosts=hosts, connect_timeout=CONNECT_SECONDS, read_timeout=ANSWER_SECONDS)


def carry(parcel: Parcel, client: fetch.Client) -> Outcome:
    """Send it once; whatever happens is in the outcome."""
    if parcel.kind == Channel.Kind.EMAIL:
        return _mail(parcel)
    try:
        with client.post_json(parcel.address, parcel.body) as answer:
            return _judge(parcel.kind, answer)
    except fetch.FetchError as fault:
        # The message may quote the address, which is the secret itself.
        return Outcome(error=str(fault).replace(parcel.address, "…"))


def _judge(kind: str, answer: fetch.Answer) -> Outcome:
    status = answer.status
    if 200 <= status < 300:
        return Outcome()
    if status == _TOO_MANY:
        return Outcome(error=_("It wants to be left alone for a while (429)."), wait=_retry_after(answer))
    if 300 <= status < 400:
        return Outcome(error=_("It answers with a redirect (%(status)d), which is not followed.") % {"status": status})
    if status in _GONE.get(Channel.Kind(kind), ()):
        error = _("It does not exist any more or refuses us (%(status)d); the channel was switched off.")
        return Outcome(error=error % {"status": status}, gone=True)
    return Outcome(error=_("It answers with HTTP status %(status)d.") % {"status": status})


def _retry_after(answer: fetch.Answer) -> float:
    """Seconds: Discord's body is exact, its header and everybody else's are whole seconds."""
    try:
        told = json.loads(answer.body(limit=_LONGEST_ANSWER, within=ANSWER_SECONDS))
        return float(told["retry_after"])
    except (fetch.FetchError, ValueError, TypeError, KeyError):
        pass
    try:
        return float(answer.headers.get("Retry-After", ""))
    except ValueError:
        return 60.0


def _mail(parcel: Parcel) -> Outcome:
    try:
        EmailMessage(subject=parcel.subject, body=parcel.text, to=[parcel.address]).send()
    except (smtplib.SMTPException, OSError, ValueError) as fault:
        return Outcome(error=f"{type(fault).__name__}: {fault}".replace(parcel.address, "…"))
    return Outcome()
