"""Formats alerts for each kind of channel. Several alerts become one message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from left4me.alerts.events import GOOD_NEWS, NEWS, Event
from left4me.alerts.models import Delivery

# Alerts listed in one message; further ones are only counted.
NAMED = 8

# Discord's limit on the characters of all embeds of a message.
_EMBEDS_HOLD = 5800
_LONGEST_TITLE = 200

RED, GREEN, GREY = 0xB91C1C, 0x15803D, 0x0F766E


def discord(alerts: Sequence[Delivery], *, site: str) -> dict[str, Any]:
    """The body for a Discord webhook. Names are user input: an `@everyone` in one must not mention anyone."""
    named, left_out = _split(alerts)
    room = _EMBEDS_HOLD // len(named) - _LONGEST_TITLE
    return {
        "username": "left4me",
        "content": _more(left_out),
        "allowed_mentions": {"parse": []},
        "embeds": [
            {
                "title": alert.title[:_LONGEST_TITLE],
                "description": unformatted(alert.text)[:room],
                **({"url": site + alert.path} if alert.path else {}),
                "color": _colour(alert),
                "timestamp": alert.created_at.isoformat(),
            }
            for alert in named
        ],
    }


def webhook(alerts: Sequence[Delivery], *, site: str) -> dict[str, Any]:
    """The body for any other webhook. Chat programs that accept `{"text": …}` show `text`."""
    named, left_out = _split(alerts)
    return {
        "version": 1,
        "site": site,
        "text": "\n".join(_lines(named, left_out, site)),
        "left_out": left_out,
        "alerts": [
            {
                "id": alert.pk,
                "event": alert.event,
                "incident": alert.incident_id,
                "subject": alert.subject,
                "title": alert.title,
                "text": alert.text,
                "url": site + alert.path if alert.path else "",
                "at": alert.created_at.isoformat(),
            }
            for alert in named
        ],
    }


def mail(alerts: Sequence[Delivery], *, site: str, code: str = "") -> tuple[str, str]:
    """Subject and text of an e-mail. `code` is the confirmation code of an unconfirmed address, else ""."""
    named, left_out = _split(alerts)
    others = len(alerts) - 1
    subject = named[0].title
    if others:
        subject = ngettext("%(title)s and %(n)d more", "%(title)s and %(n)d more", others) % {
            "title": subject,
            "n": others,
        }
    footer = _("You get this e-mail because of an alert channel in your account. Change your alert channels: %(page)s")
    confirmation = (
        [_("Your code: %(code)s. If you didn't request it, ignore this e-mail.") % {"code": code}] if code else []
    )
    body = "\n".join(
        [*_lines(named, left_out, site), *confirmation, "", footer % {"page": f"{site}/accounts/alerts/"}]
    )
    # A line break in the subject would start a new header.
    return " ".join(f"[left4me] {subject}".split()), body


def _split(alerts: Sequence[Delivery]) -> tuple[Sequence[Delivery], int]:
    return alerts[:NAMED], max(0, len(alerts) - NAMED)


def _lines(named: Sequence[Delivery], left_out: int, site: str) -> list[str]:
    lines = []
    for alert in named:
        lines.append(f"{alert.title}: {alert.text}" if alert.text else alert.title)
        if alert.path:
            lines.append(f"  {site}{alert.path}")
    return [*lines, *([_more(left_out)] if left_out else [])]


def _more(left_out: int) -> str:
    if not left_out:
        return ""
    return ngettext("… and %(n)d more alert", "… and %(n)d more alerts", left_out) % {"n": left_out}


def _colour(alert: Delivery) -> int:
    if alert.event == Event.TEST or alert.event in NEWS:
        return GREY
    return GREEN if alert.event in GOOD_NEWS else RED


def unformatted(text: str) -> str:
    """`text` with Discord's markdown escaped: log lines and names are plain text."""
    return "".join(f"\\{letter}" if letter in "\\*_`~|>[]<#" else letter for letter in text)
