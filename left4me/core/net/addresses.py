"""Whom a request comes from, also behind a reverse proxy."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest, HttpResponse

GetResponse = Callable[[HttpRequest], HttpResponse]


class ForwardedAddress:
    """Middleware that puts the visitor's address into REMOTE_ADDR when a TLS proxy stands in front.

    Only the last entry of X-Forwarded-For counts: that one was written by our own proxy, all others by whoever
    sent the request. Without a proxy the header is not looked at, since then anyone may write it.
    """

    def __init__(self, get_response: GetResponse) -> None:
        if not settings.LEFT4ME_BEHIND_TLS:
            raise MiddlewareNotUsed
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        last = request.META.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2].strip()
        if address := parsed(last):
            request.META["REMOTE_ADDR"] = address
        return self.get_response(request)


def parsed(text: str) -> str:
    """Return `text` as a plain address, "" if it is none; IPv4 inside IPv6 comes out as IPv4."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return ""
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def client_address(request: HttpRequest) -> str:
    """The visitor's address, "" when there is none (a unix socket)."""
    return parsed(request.META.get("REMOTE_ADDR", ""))


def network(address: str) -> str:
    """What one visitor can be told apart by: the address, for IPv6 the /64 (its owner has 2^64 of them)."""
    if ":" in address:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return address
