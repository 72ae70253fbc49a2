"""Permissions on accounts."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.utils.translation import gettext as _

from accounts.models import User


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
