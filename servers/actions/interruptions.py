"""What must not be interrupted on a server, such as a live match.

Every action that ends a game, changes its map or replaces its plugins asks `check` first. An app that knows of
something that must go on registers how to find it. Whoever interrupts it all the same confirms that by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from left4me.core.web.refusals import Cure, Refused
from servers.models import Server


@dataclass(frozen=True, kw_only=True)
class Hold:
    """One thing that must go on. `name` identifies it in a confirmation, such as `match:12`."""

    name: str
    title: str
    url: str


# What the API says of the field that confirms an interruption.
INTERRUPT = "The live match that this interrupts, such as match:12; without it the answer is 409"

Find = Callable[[Collection[int]], dict[int, Hold]]

_finders: list[Find] = []


def register(find: Find) -> None:
    """Have `find` called with ids of servers; it returns what must go on, by server."""
    _finders.append(find)


def of_servers(server_ids: Collection[int]) -> dict[int, Hold]:
    found: dict[int, Hold] = {}
    for find in _finders:
        found |= find(server_ids)
    return found


def of(server: Server) -> Hold | None:
    return of_servers([server.pk]).get(server.pk)


def check(server: Server, *, confirmed: str, retry: str = "", operation: str = "") -> None:
    """Raise Refused while something must go on that `confirmed` does not name.

    The refusal has a button that confirms it: a POST of `operation` to the address `retry`. Without these, the button
    leads to what must go on.
    """
    hold = of(server)
    if hold is None or confirmed == hold.name:
        return
    cure = Cure(label=_("Open match"), url=hold.url)
    if retry:
        separator = "&" if "?" in retry else "?"
        url = f"{retry}{separator}{urlencode({'interrupt': hold.name})}"
        cure = Cure(label=_("Interrupt the match"), url=url, operation=operation)
    raise Refused(describe(hold), cure=cure)


def check_operation(server: Server, operation: str, *, confirmed: str) -> None:
    """`check` for an operation that is requested on the server's page."""
    retry = reverse("servers:action", args=[server.pk])
    check(server, confirmed=confirmed, retry=retry, operation=operation)


def describe(hold: Hold) -> str:
    return _("%(what)s is in progress on this server and would be interrupted.") % {"what": hold.title}
