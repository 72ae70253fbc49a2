"""Tells alert channels who came and left, and when a server is full or empty, from the differences of a sweep."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime

from left4me.alerts import events, incidents
from left4me.alerts.events import Event
from livestate import live
from livestate.reconcile import Changes, SnapshotState
from servers.models import Server
from servers.state import news

Compared = Sequence[tuple[int, Changes]]

_ASKED_EVERY_SECONDS = 15.0


class Chosen:
    """The events that any channel has chosen; a change is known some seconds later.

    On a worker host, PostgreSQL finds out for this which users concern the host, also by its jobs of a year. For every
    sweep that would cost more than the sweep.
    """

    def __init__(self) -> None:
        self._events: set[str] = set()
        self._asked_at = float("-inf")

    def events(self) -> set[str]:
        if time.monotonic() - self._asked_at >= _ASKED_EVERY_SECONDS:
            self._events, self._asked_at = incidents.chosen_events(), time.monotonic()
        return self._events


def tell(compared: Compared, *, before: Mapping[int, SnapshotState | None], known: Chosen, now: datetime) -> None:
    """Tell of the differences; `before` holds the previous snapshots. Call it in the transaction that stores them.

    A sweep without differences costs nothing, and one whose events nobody has chosen a query now and then.
    """
    changed = {
        server_id: changes for server_id, changes in compared if changes.snapshot or changes.opened or changes.closed
    }
    if not changed:
        return
    chosen = known.events()
    if chosen.isdisjoint(events.PLAYERS):
        return
    left = {account for changes in changed.values() for account, _stay in changes.closed}
    names = live.names_of(left) if left and Event.PLAYER_LEFT in chosen else {}
    for server in Server.objects.filter(pk__in=changed).only("name", "owner_id"):
        changes = changed[server.pk]
        if changes.opened:
            news.players_joined(server, [arrival.name for arrival in changes.opened], now=now)
        if changes.closed:
            news.players_left(server, [names.get(account, "?") for account, _stay in changes.closed], now=now)
        _tell_of_number(server, before.get(server.pk), changes.snapshot, now=now)


def _tell_of_number(server: Server, was: SnapshotState | None, found: SnapshotState | None, *, now: datetime) -> None:
    if was is None or found is None:
        return
    if found.players >= found.max_players > was.players:
        news.server_filled(server, now=now)
    elif was.players and not found.players:
        news.server_emptied(server, now=now)
