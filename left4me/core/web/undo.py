"""Taking back what was just done: the view behind the Undo buttons, and what each kind of change registers for it.

What a change removed waits in the cache for an hour. A restorer does the opposite through the actions of its app,
which check the permission again and write the audit entry.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from typing import Any

import redis
from django.contrib import messages
from django.core.cache import cache
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from left4me.core import rows
from left4me.core.web import notices
from left4me.core.web.refusals import Cure, Refused
from left4me.core.web.request import Person, current_user

logger = logging.getLogger(__name__)

_KEPT_SECONDS = 3600

# Called with the user and what was kept; returns the address of the page that shows the result.
Restorer = Callable[..., str]
_restorers: dict[str, Restorer] = {}


def register(kind: str) -> Callable[[Restorer], Restorer]:
    """Register the function that takes back changes of this kind. It raises Refused where something is in the way."""

    def remember(restorer: Restorer) -> Restorer:
        _restorers[kind] = restorer
        return restorer

    return remember


def offer(kind: str, *, by: Person, **kept: Any) -> Cure | None:
    """The button that takes back a change, for the user who made it; None while Redis is away."""
    token = secrets.token_urlsafe(12)
    try:
        cache.set(_key(token), (kind, by.pk, kept), _KEPT_SECONDS)
    except redis.RedisError as error:
        logger.warning("No undo is offered while Redis is away: %s", error)
        return None
    return Cure(label=_("Undo"), url=reverse("undo", args=[token]), operation="undo")


@require_POST
def undo(request: HttpRequest, token: str) -> HttpResponse:
    """Take a change back, once."""
    user = current_user(request)
    entry = cache.get(_key(token))
    # Of two presses at once, one deletes the entry.
    if entry is None or entry[1] != user.pk or not cache.delete(_key(token)):
        messages.warning(request, _("This can't be undone any more."))
        return redirect("dashboard")
    kind, _owner, kept = entry
    try:
        return redirect(_restorers[kind](user, **kept))
    except (Refused, ValidationError) as fault:
        # What is in the way can be removed: the button stays.
        again = offer(kind, by=user, **kept)
        notices.refuse(request, fault, otherwise=again)
    except (rows.Gone, Http404, PermissionDenied):
        messages.warning(request, _("This can't be undone any more."))
    return redirect("dashboard")


def _key(token: str) -> str:
    return f"undo:{token}"
