"""Asks once more who somebody is before the ways to sign in are changed: an open session alone must not be enough."""

from __future__ import annotations

import time
from typing import Final
from urllib.parse import urlencode

from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

CONFIRMED: Final = "confirmed_at"
LASTS_SECONDS: Final = 15 * 60


def was_given(session: SessionBase) -> None:
    """Remember that the user has just shown a password or another factor."""
    session[CONFIRMED] = int(time.time())


def is_recent(session: SessionBase) -> bool:
    return 0 <= time.time() - int(session.get(CONFIRMED, 0)) <= LASTS_SECONDS


def ask(request: HttpRequest, *, back: str) -> HttpResponse | None:
    """The redirect to the page that asks, and from there `back`; None if the session was confirmed recently."""
    if is_recent(request.session):
        return None
    return redirect(f"{reverse('accounts:confirm')}?{urlencode({'next': back})}")
