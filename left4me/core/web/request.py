"""What views ask about a request: who sent it, and whether htmx did."""

from __future__ import annotations

from typing import Any, Protocol, cast

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django_htmx.middleware import HtmxDetails


class Person(Protocol):
    """A user, for code below the accounts app, which owns the user model."""

    pk: Any
    is_active: bool
    is_admin: bool

    def get_username(self) -> str: ...


def current_user(request: HttpRequest) -> Person:
    """The signed-in user, authenticated by session or by token. Raises PermissionDenied if there is none."""
    if not request.user.is_authenticated:
        raise PermissionDenied(_("Sign in first."))
    return cast(Person, request.user)


def is_fragment(request: HttpRequest) -> bool:
    """True if htmx requests the part of the page that changes, not the whole page."""
    htmx: HtmxDetails = request.htmx  # type: ignore[attr-defined]
    return bool(htmx) and not htmx.boosted and not htmx.history_restore_request
