from __future__ import annotations

from itertools import count
from typing import Any

from left4me.alerts.events import FOR_ADMINS, PROBLEMS, Event
from left4me.alerts.incidents import ProblemReport
from left4me.alerts.models import Channel

_numbers = count(1)


def make_channel(user: Any, address: str = "https://hooks.example.org/abc", **fields: Any) -> Channel:
    """A channel that tells of every problem."""
    given = {
        "name": f"channel {next(_numbers)}",
        "kind": Channel.Kind.WEBHOOK,
        "events": [each.value for each in (*PROBLEMS, *FOR_ADMINS)],
        **fields,
    }
    return Channel.objects.create(user=user, address=address, **given)


def crash(owner: Any, number: int = 1, **fields: Any) -> ProblemReport:
    """What `servers` says of a crash of this user's server."""
    given: dict[str, Any] = {
        "event": Event.SERVER_CRASHED,
        "key": f"server:{number}",
        "subject": f"server:{number}",
        "title": f"“server {number}” crashed",
        "text": "It ended with signal 11.",
        "path": f"/servers/{number}",
        "owners": [owner.pk],
        "recovered": Event.SERVER_RECOVERED,
        "recovered_title": f"“server {number}” recovered",
        **fields,
    }
    return ProblemReport(**given)
