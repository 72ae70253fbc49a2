"""What views ask about a request: who sent it, from where, whether htmx did, and what the JSON of its body says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast
from urllib.parse import urlsplit

from django.core.exceptions import DisallowedHost, PermissionDenied
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django_htmx.middleware import HtmxDetails

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser


class Person(Protocol):
    """A user, for code below the accounts app, which owns the user model."""

    pk: Any
    is_active: bool
    is_admin: bool

    def get_username(self) -> str: ...


Visitor: TypeAlias = "AbstractBaseUser | AnonymousUser | Person"


def is_admin(user: Visitor) -> bool:
    return bool(user.is_active and getattr(user, "is_admin", False))


def current_user(request: HttpRequest) -> Person:
    """The signed-in user, authenticated by session or by token. Raises PermissionDenied if there is none."""
    if not request.user.is_authenticated:
        raise PermissionDenied(_("Sign in first."))
    return cast(Person, request.user)


def previous_page(request: HttpRequest) -> str:
    """The page of this site that the request was sent from; the dashboard if there is none."""
    return page_before(request) or "/"


def is_fragment(request: HttpRequest) -> bool:
    """True if htmx requests the part of the page that changes, not the whole page."""
    htmx: HtmxDetails = request.htmx  # type: ignore[attr-defined]
    return bool(htmx) and not htmx.boosted and not htmx.history_restore_request


def read_json(data: bytes) -> Any:
    """The JSON that a client sent. Raises ValueError for anything that a database or a number cannot take.

    That is NaN and Infinity, which are no JSON, NUL and lone surrogates in texts, and nesting without end.
    """
    try:
        value = json.loads(data, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("The JSON is nested too deeply.") from None
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            waiting += [*part, *part.values()]
        elif isinstance(part, list):
            waiting += part
        elif isinstance(part, str) and ("\0" in part or not _is_text(part)):
            raise ValueError("A text contains characters that cannot be stored.")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON.")


def _is_text(part: str) -> bool:
    try:
        part.encode()
    except UnicodeEncodeError:
        return False
    return True


def page_before(request: HttpRequest) -> str:
    """The page of this site that led here, such as that of the form that was sent; empty if there is none."""
    referrer = urlsplit(request.headers.get("Referer", ""))
    try:
        is_here = referrer.netloc == request.get_host()
    except DisallowedHost:
        return ""
    before = referrer.path + (f"?{referrer.query}" if referrer.query else "")
    is_same = before == request.get_full_path() and request.method == "GET"
    return before if is_here and before.startswith("/") and not before.startswith("//") and not is_same else ""
