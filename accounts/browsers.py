"""The browsers of a user: their names, their language, and the signed cookie of those that have signed in before.

`throttle` counts attempts from a known browser apart from those of strangers.
"""

from __future__ import annotations

import secrets

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

COOKIE = "left4me_device"
_AGE = 60 * 60 * 24 * 365
_SALT = "accounts.device"

# Order matters: Edge and Opera also call themselves Chrome, and Chrome calls itself Safari.
_BROWSERS = (
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def name_of(user_agent: str) -> str:
    """The browser and system behind a User-Agent header, in words that its user recognises."""
    browser = next((name for mark, name in _BROWSERS if mark in user_agent), "")
    system = next((name for mark, name in _SYSTEMS if mark in user_agent), "")
    if browser and system:
        return _("%(browser)s on %(system)s") % {"browser": browser, "system": system}
    return browser or system or _("Unknown device")


def known_mark(request: HttpRequest, username: str) -> str:
    """The mark of this browser if it has signed in as `username` before, else ""."""
    try:
        name, mark = signing.loads(request.COOKIES.get(COOKIE, ""), salt=_SALT, max_age=_AGE)
    except (signing.BadSignature, ValueError):
        return ""
    return str(mark) if name == username.casefold() else ""


def remember(request: HttpRequest, response: HttpResponse, username: str) -> None:
    """Set the cookie by which `known_mark` recognises this browser."""
    mark = known_mark(request, username) or secrets.token_urlsafe(12)
    response.set_cookie(
        COOKIE,
        signing.dumps([username.casefold(), mark], salt=_SALT),
        max_age=_AGE,
        httponly=True,
        samesite="Lax",
        secure=settings.LEFT4ME_BEHIND_TLS,
    )


def set_language(response: HttpResponse, code: str) -> None:
    """Set the cookie that chooses the language of pages; an empty `code` leaves it to the browser."""
    if code:
        response.set_cookie(
            settings.LANGUAGE_COOKIE_NAME,
            code,
            max_age=_AGE,
            httponly=True,
            samesite="Lax",
            secure=settings.LEFT4ME_BEHIND_TLS,
        )
    else:
        response.delete_cookie(settings.LANGUAGE_COOKIE_NAME, samesite="Lax")
