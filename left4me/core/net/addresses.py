"""The client's IP address, honouring X-Forwarded-For from trusted proxies only."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest, HttpResponse

GetResponse = Callable[[HttpRequest], HttpResponse]


class ForwardedAddress:
    """Middleware that sets REMOTE_ADDR to the client's address behind a TLS proxy.

    Only the last entry of X-Forwarded-For counts: it was written by our own proxy, all others by the client. Without
    a proxy the header is ignored, since then any client may write it. Where the proxy has a secret, so may programs
    that reach the web past it (games can): their requests keep the address that they come from.
    """

    def __init__(self, get_response: GetResponse) -> None:
        if not settings.LEFT4ME_BEHIND_TLS:
            raise MiddlewareNotUsed
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        secret = request.META.pop("HTTP_X_LEFT4ME_PROXY_SECRET", "")
        expected = settings.LEFT4ME_PROXY_SECRET
        if expected and not secrets.compare_digest(secret.encode(), expected.encode()):
            request.META.pop("HTTP_X_FORWARDED_PROTO", None)
            return self.get_response(request)
        last = request.META.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2].strip()
        if address := parsed(last):
            request.META["REMOTE_ADDR"] = address
        return self.get_response(request)


def parsed(text: str) -> str:
    """Return `text` as a plain address, "" if it is none; an IPv4-mapped IPv6 address becomes IPv4."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return ""
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def client_address(request: HttpRequest) -> str:
    """The client's address, "" when there is none (a unix socket)."""
    return parsed(request.META.get("REMOTE_ADDR", ""))


def network(address: str) -> str:
    """The address that identifies one client: for IPv6 its /64 network, whose owner has all 2^64 addresses."""
    if ":" in address:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return address
