"""`/metrics` for Prometheus: for clients with the token; without one in the settings, for programs on this machine."""

from __future__ import annotations

import secrets
from ipaddress import ip_address

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.http.request import split_domain_port
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from left4me import streams
from left4me.core.net.addresses import client_address
from left4me.site.metrics.figures import Figures

# A proxy on this machine connects from loopback too. These headers reveal it.
_WRITTEN_BY_PROXIES = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via")
_LOOPBACK_NAMES = {"localhost", "127.0.0.1", "[::1]"}


@login_not_required
@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    # Games are programs on this machine too, and not every kernel keeps them from loopback: a token is for all.
    admits = _has_the_token if settings.LEFT4ME_METRICS_TOKEN else _is_of_this_machine
    if not admits(request):
        words = (
            "Send “Authorization: Bearer <LEFT4ME_METRICS_TOKEN>”. Without this setting, ask from this machine past"
            " the proxy.\n"
        )
        return HttpResponse(words, status=403, content_type="text/plain; charset=utf-8")
    registry = CollectorRegistry()
    registry.register(Figures(now=timezone.now(), streams=streams.application.open_streams))
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encode(registry), content_type=content_type)


def _has_the_token(request: HttpRequest) -> bool:
    expected = settings.LEFT4ME_METRICS_TOKEN
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if not expected or scheme.lower() != "bearer":
        return False
    return secrets.compare_digest(given.strip().encode(), expected.encode())


def _is_of_this_machine(request: HttpRequest) -> bool:
    """True if the request comes from loopback and was not forwarded by a proxy.

    Checked in two ways, since a proxy may be configured without one of them: there is no header that proxies write,
    and Host names loopback.
    """
    if any(name in request.headers for name in _WRITTEN_BY_PROXIES):
        return False
    if split_domain_port(request.headers.get("Host", "").lower())[0] not in _LOOPBACK_NAMES:
        return False
    address = client_address(request)
    return bool(address) and ip_address(address).is_loopback
