"""Simulated Steam's sign-in: an OpenID 2.0 provider at /simulated-steam, where anybody is whom they choose to be.

The settings name this module where the game is simulated. Its people are some of the simulated game's players, so that
a confirmed Steam ID is that of somebody who comes to the servers.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import render
from django.urls import path
from django.utils.crypto import constant_time_compare, salted_hmac
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from servers.simulated.srcds.players import STEAM_ID_64_BASE, account_of, name_pool

_SIGNED = ("signed", "op_endpoint", "claimed_id", "identity", "return_to", "response_nonce", "assoc_handle")
_PEOPLE = 6


def steam_id_of(name: str) -> int:
    """The Steam ID of a player of the simulated game."""
    return STEAM_ID_64_BASE + account_of(name)


def answer(*, provider: str, return_to: str, steam_id: int, now: datetime) -> str:
    """The address that the browser is sent back to, with a signed answer."""
    identity = f"{provider}/id/{steam_id}"
    fields = {
        "openid.ns": "http://specs.openid.net/auth/2.0",
        "openid.mode": "id_res",
        "openid.op_endpoint": f"{provider}/login",
        "openid.claimed_id": identity,
        "openid.identity": identity,
        "openid.return_to": return_to,
        "openid.response_nonce": f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}{secrets.token_urlsafe(12)}",
        "openid.assoc_handle": "1234567890",
        "openid.signed": ",".join(_SIGNED),
    }
    fields["openid.sig"] = _signature(fields)
    return f"{return_to}{'&' if '?' in return_to else '?'}{urlencode(fields)}"


def check(fields: Mapping[str, str]) -> str:
    """Steam's reply to `check_authentication`."""
    is_valid = constant_time_compare(fields.get("openid.sig", ""), _signature(fields))
    return f"ns:http://specs.openid.net/auth/2.0\nis_valid:{str(is_valid).lower()}\n"


def _signature(fields: Mapping[str, str]) -> str:
    text = "".join(f"{name}:{fields.get(f'openid.{name}', '')}\n" for name in _SIGNED)
    return salted_hmac("simulated-steam", text, algorithm="sha256").hexdigest()


@require_http_methods(["GET", "HEAD", "POST"])
@csrf_exempt
@login_not_required
def login(request: HttpRequest) -> HttpResponse:
    """The page where a person signs in, and the address where the site has an answer confirmed."""
    if request.method == "POST":
        return HttpResponse(check(request.POST.dict()), content_type="text/plain")
    return_to = request.GET.get("openid.return_to", "")
    if not return_to.startswith(request.GET.get("openid.realm", "-")):
        return HttpResponseBadRequest("The realm is not that of the return address.", content_type="text/plain")
    provider, now = settings.LEFT4ME_STEAM_OPENID_URL, datetime.now(UTC)
    people = [
        (name, answer(provider=provider, return_to=return_to, steam_id=steam_id_of(name), now=now))
        for name in name_pool("plain")[:_PEOPLE]
    ]
    return render(request, "simulated/steam_sign_in.html", {"people": people, "return_to": return_to})


urlpatterns = [path("simulated-steam/login", login, name="simulated_steam")]
