"""Looks at one server with a rotation or a queue, and changes its map when a campaign has ended.

A look compares the row of a server with what its game shows, and writes the row with the revision that it read, in
the transaction that gives the order. So a change is ordered once, however many workers look.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.http import HttpRequest
from django.utils.translation import gettext as _

from accounts.models import User
from left4me.core.redis import signals
from left4me.core.web.refusals import Refused
from livestate import actions as orders
from livestate import live
from livestate.models import Order
from livestate.rotation import entries, plan, rotations
from livestate.rotation.entries import Availability, Entry, Kind
from livestate.rotation.models import MOST_NOTES, GameEvent, MapState, Rotation
from servers.actions import interruptions
from servers.models import Server

logger = logging.getLogger(__name__)

# The events with which a campaign ends, by the mode that the game plays; in all other modes `finale_win`.
ENDS: Final = {"versus": "versus_match_finished", "scavenge": "scavenge_match_finished"}
SURVIVAL: Final = "survival"
_EMPTY_FOR: Final = timedelta(seconds=60)
# The credits of a finale, and a map that is loaded again.
_QUIET: Final = timedelta(minutes=3)
_GIVEN_UP_AFTER: Final = timedelta(minutes=5)
_AGAIN_AFTER: Final = timedelta(seconds=15)
_SHOWN_AFTER: Final = timedelta(seconds=20)
_ATTEMPTS: Final = 3


class Raced(Refused):
    """The row was written by another since it was read."""

    def __init__(self) -> None:
        super().__init__(_("Somebody else changed this at the same moment. Try again."))


class Look:
    """One look at a server. `take` changes `row` and gives the orders that follow from it."""

    def __init__(
        self, row: MapState, state: live.Live, rotation: Rotation | None, events: Sequence[GameEvent], now: datetime
    ) -> None:
        self.row = row
        self.server = state.server
        self.live = state
        # Missions write the names of maps as they like; they are known in lower case.
        self.map = state.map.lower()
        self.rotation = rotation
        self.now = now
        self._events = events
        self._say = ""
        self._heard: list[int] = []
        self._known: entries.Maps | None = None
        self._before = _values(row)

    @property
    def maps(self) -> entries.Maps:
        # Read only when there is something to decide: most looks find nothing.
        if self._known is None:
            self._known = entries.of_server(self.server)
        return self._known

    def take(self) -> bool:
        """Returns whether something changed. Raises Raced, and then nothing was done."""
        with transaction.atomic():
            self._decide()
            if self._heard:
                GameEvent.objects.filter(pk__in=self._heard).update(is_handled=True)
            changed = self.save()
            if self._say:
                self._give(Order.Kind.SAY, self._say)
        return changed

    def save(self) -> bool:
        """Write the row if it changed. Raises Raced."""
        if _values(self.row) == self._before:
            return False
        save(self.row)
        self._before = _values(self.row)
        return True

    def cancel(self) -> None:
        """Take back the change that is announced. Raises Raced."""
        self._forget_change()
        self.row.quiet_until = self.now + _QUIET
        self._settle("cancelled", "")
        self.save()

    def change_now(self, *, by: User, request: HttpRequest | None = None) -> Entry:
        """Order the change to what comes next, without a wait. Call it in a transaction. Raises Refused."""
        if self._is_changing():
            raise Refused(_("The map is being changed. Try again in a moment."))
        self.row.target, self.row.attempts = None, 0
        if self.live.is_current:
            self.row.map = self.map
        entry = self.change(by=by, request=request)
        if entry is None:
            raise Refused(_("There is nothing to change to. Add a campaign to the queue or to the rotation."))
        self.save()
        return entry

    def _decide(self) -> None:
        if self.server.actual_state != Server.State.RUNNING or self._was_restarted():
            self.drop("restarted")
            return
        if not self.live.is_current:
            # A game that loads a map or hangs says nothing; a change that nobody could order is dropped.
            if self.row.due_at is not None and self.now - self.row.due_at > _GIVEN_UP_AFTER:
                self.drop("silent")
            return
        self._notice_map()
        for event in self._events:
            self._hear(event)
        self._notice_players()
        self._check_order()
        if self.row.due_at is not None and self.now >= self.row.due_at and not self._is_changing():
            if interruptions.of(self.server) is None:
                self.change()
            else:
                self._wait_for_match()

    def _was_restarted(self) -> bool:
        announced, started = self.row.announced_at, self.server.started_at
        return announced is not None and started is not None and started > announced

    def _notice_map(self) -> None:
        name, before, was_played = self.map, self.row.map, self.row.was_played
        if name == before:
            return
        self.row.map, self.row.rounds, self.row.was_played = name, 0, False
        if self.row.target is not None:
            if self.row.target["map"] == name:
                self.row.playing = self.row.target
                self._forget_change()
            else:
                self.drop("changed_meanwhile")
        elif self.row.due_at is not None:
            # After a finale the game may return to the first map by itself; any other change was somebody's choice.
            if not (self.maps.is_last(before) and self.maps.chapters_of(before)[0] == name):
                self.drop("changed_meanwhile")
        elif was_played and self.live.players and self._was_only_map(before) and name in self.maps.chapters_of(before):
            self.end(MapState.Reason.FINISHED)
        self._find_place()

    def _find_place(self) -> None:
        """Remember where in the rotation the present map is. Another map leaves the place where it was."""
        place = plan.place(self.rotation, self.row, self.row.map, self.maps)
        if place is not None:
            self.row.position = place

    def _was_only_map(self, name: str) -> bool:
        """Whether a single map was to be played, from which the game has just gone on."""
        playing = Entry.load(self.row.playing) if self.row.playing else None
        if playing is None or playing.map != name:
            playing = plan.played(self.rotation, self.row, name, self.maps)
        return playing is not None and playing.kind is Kind.MAP and playing.map == name

    def _hear(self, event: GameEvent) -> None:
        self._heard.append(event.pk)
        if event.map.lower() != self.map or self.now - event.at > GameEvent.FRESH:
            return
        if event.mode == SURVIVAL:
            if event.name == "round_end":
                self.row.rounds += 1
                if self.row.rounds >= (self.rotation.survival_rounds if self.rotation else 1):
                    self.end(MapState.Reason.FINISHED)
        elif event.name == ENDS.get(event.mode, "finale_win"):
            self.end(MapState.Reason.FINISHED)

    def _notice_players(self) -> None:
        if self.live.players:
            self.row.was_played = True
            if self.row.due_at is not None and self.row.reason == MapState.Reason.LEFT:
                # Somebody came back before the change, and plays the finale again.
                self._forget_change()
        elif self.row.was_played:
            self.row.was_played = False
            if self.maps.is_last(self.map):
                self.end(MapState.Reason.LEFT)

    def end(self, reason: MapState.Reason) -> None:
        """Announce the change that follows the end of what is played; only once for an end."""
        is_quiet = self.row.quiet_until is not None and self.now < self.row.quiet_until
        if self.row.due_at is not None or is_quiet or self._is_changing():
            return
        if interruptions.of(self.server) is not None:
            # Quiet, so that what the game tells several times is noted once.
            self.row.quiet_until = self.now + _QUIET
            self.note("match")
            return
        choice = plan.choose(self.rotation, self.row, self.maps)
        if choice.step is None:
            self._note_skipped(choice)
            if self.rotation is not None and self.rotation.is_on:
                self.row.quiet_until = self.now + _QUIET
                self.note("over")
            return
        wait = timedelta(seconds=self.rotation.wait_seconds if self.rotation else rotations.WAIT_SECONDS)
        self.announce(reason, wait=_EMPTY_FOR if reason == MapState.Reason.LEFT else wait)
        if reason == MapState.Reason.FINISHED:
            self._say = _("Next: %(what)s in %(seconds)d s.") % {
                "what": choice.step.entry.called(self.maps.chapters),
                "seconds": wait.total_seconds(),
            }

    def announce(self, reason: MapState.Reason, *, wait: timedelta) -> None:
        self.row.due_at, self.row.announced_at, self.row.reason = self.now + wait, self.now, reason

    def change(self, *, by: User | None = None, request: HttpRequest | None = None) -> Entry | None:
        """Order the change to what comes next; returns it. None, with a note, if there is nothing to change to."""
        target = self.row.target if self.row.attempts else None
        if target is None:
            target = self._take_next()
        self._forget_change()
        if target is None:
            self.note("over")
            return None
        entry = Entry.load(target)
        self.row.target, self.row.attempts, self.row.rounds = target, self.row.attempts + 1, 0
        self.row.quiet_until = self.now + _QUIET
        # Before the order: of two workers that are here, the second one fails at this.
        self.save()
        try:
            self.row.order = orders.give_order(
                server=self.server, by=by, kind=Order.Kind.MAP, value=entry.map, request=request
            )
        except Refused as refusal:
            if by is not None:
                raise
            self._settle("failed", f"{entry.called(self.maps.chapters)}: {refusal}")
        return entry

    def _take_next(self) -> dict[str, str] | None:
        """The next entry, as it is stored, which the queue or the rotation then has behind it."""
        choice = plan.choose(self.rotation, self.row, self.maps)
        self._note_skipped(choice)
        if choice.step is None:
            return None
        # What needs a restart stays in the queue until there was one.
        waiting = [entry.dump() for entry, found in choice.skipped if found is Availability.RESTART]
        passed = self.row.queue[: choice.step.queued or None]
        self.row.queue = [each for each in passed if each in waiting] + self.row.queue[len(passed) :]
        if not choice.step.is_queued:
            self.row.position, self.row.seed = choice.step.position, choice.step.seed
        return choice.step.entry.dump() | ({"from": "queue"} if choice.step.is_queued else {})

    def _check_order(self) -> None:
        """See what became of the change that was ordered, and order it again if the game did not do it."""
        order, target = self.row.order, self.row.target
        if target is None or self.row.due_at is not None:
            return
        entry = Entry.load(target)
        if self.map == entry.map:
            self.row.playing = target
            self._settle("changed", entry.called(self.maps.chapters))
        elif order is None or not (_is_open(order, self.now) or self._may_still_load(order)):
            if self.row.attempts < _ATTEMPTS:
                self.row.order = None
                self.announce(MapState.Reason.AGAIN, wait=_AGAIN_AFTER)
            else:
                self._settle("failed", entry.called(self.maps.chapters))

    def _may_still_load(self, order: Order) -> bool:
        return order.finished_at is not None and self.now - order.finished_at < _SHOWN_AFTER

    def _settle(self, code: str, what: str) -> None:
        self.row.order, self.row.target, self.row.attempts = None, None, 0
        self.note(code, what)

    def _is_changing(self) -> bool:
        """Whether an order to change the map is on its way, whoever gave it."""
        recent = Order.objects.filter(server=self.server, kind=Order.Kind.MAP).order_by("-pk")[:3]
        return any(_is_open(order, self.now) for order in recent)

    def drop(self, code: str) -> None:
        """Give up an announced or ordered change, with a note that says why."""
        if self.row.due_at is None and self.row.target is None:
            return
        self._forget_change()
        self._settle(code, "")

    def _wait_for_match(self) -> None:
        """Give up an announced change. What was taken from the queue for an earlier attempt goes back to its front."""
        target = self.row.target
        if target is not None and target.get("from") == "queue":
            self.row.queue = [Entry.load(target).dump(), *self.row.queue]
        self.drop("match")

    def _forget_change(self) -> None:
        self.row.due_at, self.row.announced_at, self.row.reason = None, None, ""

    def _note_skipped(self, choice: plan.Choice) -> None:
        for entry, found in choice.skipped[:MOST_NOTES]:
            self.note(f"skipped_{found}", entry.called(self.maps.chapters))

    def note(self, code: str, what: str = "") -> None:
        self.row.notes = [{"at": self.now.isoformat(), "code": code, "what": what[:300]}, *self.row.notes][:MOST_NOTES]

    def _give(self, kind: str, value: str) -> None:
        try:
            orders.give_order(server=self.server, by=None, kind=kind, value=value)
        except Refused as refusal:
            logger.info("The players of server %s could not be told: %s", self.server.pk, refusal)


def save(row: MapState) -> None:
    """Write a row in the transaction that is open, and tell open pages. Raises Raced if it is not as it was read."""
    if row.revision == 0:
        MapState.objects.bulk_create([MapState(server_id=row.server_id)], ignore_conflicts=True)
    written = MapState.objects.filter(pk=row.server_id, revision=row.revision)
    if not written.update(revision=row.revision + 1, **_values(row)):
        raise Raced
    row.revision += 1
    signals.send_after_commit(f"{signals.PLAYERS}:{row.server_id}")


def _values(row: MapState) -> dict[str, Any]:
    return {name: getattr(row, name) for name in MapState.FIELDS}


def _is_open(order: Order, now: datetime) -> bool:
    return order.state_at(now) in (Order.State.QUEUED, Order.State.RUNNING)
