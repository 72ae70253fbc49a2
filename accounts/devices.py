"""Browsers that have signed in before, remembered by a signed cookie; see `throttle` for what it is good for."""

from __future__ import annotations

import secrets

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse

COOKIE = "left4me_device"
_AGE = 60 * 60 * 24 * 365
_SALT = "accounts.device"


def known(request: HttpRequest, username: str) -> str:
    """The device's mark if this browser has signed in as `username` before, else ""."""
    try:
        name, mark = signing.loads(request.COOKIES.get(COOKIE, ""), salt=_SALT, max_age=_AGE)
    except (signing.BadSignature, ValueError):
        return ""
    return str(mark) if name == username.casefold() else ""


def remember(request: HttpRequest, response: HttpResponse, username: str) -> None:
    """Know this browser next time."""
    mark = known(request, username) or secrets.token_urlsafe(12)
    response.set_cookie(
        COOKIE,
        signing.dumps([username.casefold(), mark], salt=_SALT),
        max_age=_AGE,
        httponly=True,
        samesite="Lax",
        secure=settings.LEFT4ME_BEHIND_TLS,
    )
