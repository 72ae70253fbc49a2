"""Messages of pages with a button: one press that mends what was refused, or takes back what was done.

Django stores messages as texts, so the button travels as JSON in the extra tags of its message.
"""

from __future__ import annotations

import json

from django.contrib import messages
from django.contrib.messages.storage.base import Message
from django.http import HttpRequest

from left4me.core.web import refusals
from left4me.core.web.refusals import Cure


def refuse(request: HttpRequest, fault: Exception, *, otherwise: Cure | None = None) -> None:
    """Show why something was refused, with the button that makes it possible, or else with the button `otherwise`."""
    cure = refusals.cure_of(fault) or otherwise
    messages.error(request, refusals.message_of(fault), extra_tags=_packed(cure))


def done(request: HttpRequest, text: str, *, undo: Cure | None = None) -> None:
    """Show what was done, with the button that takes it back."""
    messages.success(request, text, extra_tags=_packed(undo))


def cure_of(message: Message) -> Cure | None:
    """The button of a message that `refuse` or `done` stored."""
    return Cure(**json.loads(message.extra_tags)) if (message.extra_tags or "").startswith("{") else None


def _packed(cure: Cure | None) -> str:
    return json.dumps(cure.as_json()) if cure else ""
