"""The browsers of users: their names, their language, and what they keep for this site in signed cookies.

One of these cookies marks browsers that have signed in before: `throttle` counts their attempts apart from strangers'.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any, Literal

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

_AGE = 60 * 60 * 24 * 365

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


@dataclass(frozen=True, kw_only=True)
class SignedCookie:
    """A value that only this site can have written. Scripts do not see it, and after `seconds` it counts for nothing.

    `Strict`: it is not sent when a browser comes from another site.
    """

    name: str
    salt: str
    seconds: int
    same_site: Literal["Lax", "Strict"] = "Lax"

    def put(self, response: HttpResponse, value: Any) -> None:
        response.set_cookie(
            self.name,
            signing.dumps(value, salt=self.salt, compress=True),
            max_age=self.seconds,
            httponly=True,
            samesite=self.same_site,
            secure=settings.LEFT4ME_BEHIND_TLS,
        )

    def read(self, request: HttpRequest) -> Any:
        """The value that this browser sent; None if it has none, if it is too old, or if it was not written here."""
        try:
            return signing.loads(request.COOKIES.get(self.name, ""), salt=self.salt, max_age=self.seconds)
        except (signing.BadSignature, ValueError):
            return None

    def remove(self, response: HttpResponse) -> None:
        response.delete_cookie(self.name, samesite=self.same_site)


_DEVICE = SignedCookie(name="left4me_device", salt="accounts.device", seconds=_AGE)


def name_of(user_agent: str) -> str:
    """The browser and system behind a User-Agent header, in words that its user recognises."""
    browser = next((name for mark, name in _BROWSERS if mark in user_agent), "")
    system = next((name for mark, name in _SYSTEMS if mark in user_agent), "")
    if browser and system:
        return _("%(browser)s on %(system)s") % {"browser": browser, "system": system}
    return browser or system or _("Unknown device")


def known_mark(request: HttpRequest, username: str) -> str:
    """The mark of this browser if it has signed in as `username` before, else ""."""
    name, mark = _DEVICE.read(request) or ("", "")
    return str(mark) if name == username.casefold() else ""


def remember(request: HttpRequest, response: HttpResponse, username: str) -> None:
    """Set the cookie by which `known_mark` recognises this browser."""
    mark = known_mark(request, username) or secrets.token_urlsafe(12)
    _DEVICE.put(response, [username.casefold(), mark])


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
