"""Tells alert channels who came and left, and when a server is full or empty, from the differences of a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from left4me.alerts import events, incidents
from left4me.alerts.events import Event
from livestate import live
from livestate.reconcile import Changes, SnapshotState
from servers.models import Server
from servers.state import news

Compared = Sequence[tuple[int, Changes]]


def tell(compared: Compared, *, before: Mapping[int, SnapshotState | None], now: datetime) -> None:
    """Tell of the differences; `before` holds the previous snapshots. Call it in the transaction that stores them.

    A sweep without differences costs nothing, and one whose events nobody has chosen a query.
    """
    changed = {
        server_id: changes for server_id, changes in compared if changes.snapshot or changes.opened or changes.closed
    }
    if not changed:
        return
    chosen = incidents.chosen_events()
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
