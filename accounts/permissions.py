"""Permissions on accounts."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.throttle import UNKNOWN_NAMES
from left4me.core.redis import rate_limit


def signed_in(request: HttpRequest) -> User:
    """The user of this request. Raises PermissionDenied if nobody is signed in."""
    if not isinstance(request.user, User):
        raise PermissionDenied(_("Sign in first."))
    return request.user


def can_administer(user: User) -> bool:
    return user.is_active and user.is_admin


def check_can_administer(user: User) -> None:
    if not can_administer(user):
        raise PermissionDenied(_("Only admins have access to this."))


def administrator(request: HttpRequest) -> User:
    """The admin of this request. Raises PermissionDenied for all others."""
    user = signed_in(request)
    check_can_administer(user)
    return user


def user_named(name: str, *, by: User) -> User | None:
    """The active user with this name, for `by` to share something with.

    Who has an account is not to be found out by trying: after many names that nobody has, RateLimited is raised for
    every name. Names are counted before they are looked up, so that simultaneous tries are counted too. Admins see all
    accounts anyway.
    """
    if not by.is_admin:
        rate_limit.enforce(UNKNOWN_NAMES, f"user:{by.pk}")
    name = name.strip()
    user = User.objects.active().named(name).first() if name and "\0" not in name else None
    if user is not None and not by.is_admin:
        rate_limit.give_back(UNKNOWN_NAMES, f"user:{by.pk}")
    return user
