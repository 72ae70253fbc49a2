"""The second step of a sign-in: when one is needed, and who has passed the first.

Between the steps there is no session, only a cookie: signed, for five minutes, and void after a change of the
password. A session knows when its second step was passed. Sessions that began before there was one are asked at the
next request.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final, cast

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest, HttpResponse

from accounts.browsers import SignedCookie
from accounts.models import User

PASSED: Final = "second_step_at"
_COOKIE: Final = SignedCookie(name="left4me_second_step", salt="accounts.second_step", seconds=5 * 60)


def is_demanded(user: User) -> bool:
    """Whether the site demands a second factor of this user."""
    demanded = settings.LEFT4ME_SECOND_FACTOR
    return demanded == "everyone" or (demanded == "admins" and user.is_admin)


def is_missing(user: User, session: Mapping[str, Any] | SessionBase) -> bool:
    """Whether this session of the user must not be used before a second step, or before a factor is set up."""
    return (user.second_factor_at is not None or is_demanded(user)) and not session.get(PASSED)


def was_passed(session: SessionBase) -> None:
    session[PASSED] = int(time.time())


def begin(response: HttpResponse, user: User) -> None:
    """Let this browser try the second step: its user has passed the first."""
    _COOKIE.put(response, [user.pk, user.get_session_auth_hash()])


def end(response: HttpResponse) -> None:
    _COOKIE.remove(response)


def candidate(request: HttpRequest) -> User | None:
    """Whoever has passed the first step in this browser and not the second; None after five minutes."""
    pk, auth_hash = _COOKIE.read(request) or (None, "")
    user = cast(User | None, User.objects.active().filter(pk=pk).first())
    return user if user is not None and auth_hash == user.get_session_auth_hash() else None
