"""Validation of channel addresses. Users choose them, so they must not reach the internal network."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.translation import gettext as _

from left4me.alerts.models import Channel
from left4me.core.net.egress import AllowedHosts, is_literal_private

LONGEST = 500

# A host name (in ASCII form), an IPv4 address, or an IPv6 address without its brackets.
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?\.?|[0-9a-f:.]+", re.IGNORECASE)


def allowed() -> AllowedHosts:
    """Any public host by https, and exactly the origins in LEFT4ME_ALERT_ORIGINS.

    The IP address behind a host name is checked when the connection is made, because it may change until then.
    """
    return AllowedHosts.parse(settings.LEFT4ME_ALERT_ORIGINS).with_any_public()


def clean(kind: str, address: str) -> str:
    """The address in its stored form. Raises ValidationError."""
    address = address.strip()
    if len(address) > LONGEST:
        raise ValidationError(_("This address is too long. Use at most 500 characters."))
    return _mailbox(address) if kind == Channel.Kind.EMAIL else _webhook(address)


def _mailbox(address: str) -> str:
    if not settings.LEFT4ME_SENDS_MAIL:
        raise ValidationError(_("This site can't send e-mail yet. Ask its admin to set EMAIL_URL."))
    validate_email(address)
    return address


def _webhook(address: str) -> str:
    fault = ValidationError(_("Enter an address that starts with https://."))
    try:
        parts = urlsplit(address)
        scheme, host, port = parts.scheme.lower(), parts.hostname or "", parts.port
    except ValueError:
        raise fault from None
    if scheme not in ("http", "https") or not host or parts.username is not None or not address.isprintable():
        raise fault
    if " " in address or not _HOST.fullmatch(host):
        raise fault
    hosts = allowed()
    port = port or (443 if scheme == "https" else 80)
    if hosts.is_literal(scheme, host, port):
        return address
    if is_literal_private(host):
        raise ValidationError(_needs_permission(scheme, parts.netloc))
    if scheme != "https":
        raise fault
    return address


def _needs_permission(scheme: str, netloc: str) -> str:
    return _(
        "This address is not on the public internet. An admin can allow it: add LEFT4ME_ALERT_ORIGINS=%(origin)s to "
        "the settings of left4me and restart it."
    ) % {"origin": f"{scheme}://{netloc.lower()}"}
