"""Tells alert channels what happens on servers without anything being wrong: starts, stops, updates and players."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.utils.text import get_text_list
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from left4me.alerts import incidents
from left4me.alerts.events import Event
from left4me.alerts.incidents import Notice
from servers.models import Host, Server

# More names than that are only counted.
_NAMED = 8


def server_started(server: Server, *, now: datetime) -> None:
    _tell(server, Event.SERVER_STARTED, _("“%(name)s” started"), now=now)


def server_stopped(server: Server, *, now: datetime) -> None:
    _tell(server, Event.SERVER_STOPPED, _("“%(name)s” stopped"), now=now)


def server_filled(server: Server, *, now: datetime) -> None:
    _tell(server, Event.SERVER_FULL, _("“%(name)s” is full"), now=now)


def server_emptied(server: Server, *, now: datetime) -> None:
    _tell(server, Event.SERVER_EMPTY, _("The last player left “%(name)s”"), now=now)


def players_joined(server: Server, names: Sequence[str], *, now: datetime) -> None:
    title = ngettext("A player joined “%(name)s”", "%(n)d players joined “%(name)s”", len(names))
    _tell(server, Event.PLAYER_JOINED, title, text=_listed(names), count=len(names), now=now)


def players_left(server: Server, names: Sequence[str], *, now: datetime) -> None:
    title = ngettext("A player left “%(name)s”", "%(n)d players left “%(name)s”", len(names))
    _tell(server, Event.PLAYER_LEFT, title, text=_listed(names), count=len(names), now=now)


def game_updated(host: Host, version: str, *, now: datetime) -> None:
    """Tell the owners of the host's servers that the game has another version."""
    incidents.notify(
        Notice(
            event=Event.GAME_UPDATED,
            subject=f"host:{host.pk}",
            title=_("The game was updated on host “%(name)s”") % {"name": host.name},
            text=_("Version %(version)s. Running servers use it from their next restart on.") % {"version": version},
            path="/servers",
            owners=set(Server.objects.filter(host=host).values_list("owner_id", flat=True)),
        ),
        now=now,
    )


def _tell(server: Server, event: Event, title: str, *, now: datetime, text: str = "", count: int = 1) -> None:
    incidents.notify(
        Notice(
            event=event,
            subject=server.resource,
            title=title % {"name": server.name, "n": count},
            text=text,
            path=server.get_absolute_url(),
            owners=[server.owner_id],
        ),
        now=now,
    )


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    shown = [*names[:_NAMED], *([ngettext("%d more", "%d more", more) % more] if more > 0 else [])]
    return get_text_list(shown, _("and"))
