"""Writes the results of a sweep to the database, in bulk, one short transaction per batch.

The rows are cached in memory between sweeps, so that an unchanged server costs one id in one UPDATE. Each transaction
first checks that no other process has written since; after any failure the cache is dropped and read again.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q

from left4me.core import clock, rows
from left4me.core.redis import signals
from livestate import news, reconcile, totals
from livestate.models import PlayerSession, Snapshot, Sweep, last_seen
from livestate.poller import Answered, Result, Unanswered
from livestate.reconcile import Arrival, Changes, Known, Stay
from livestate.silences import Silences
from servers.models import Server

logger = logging.getLogger(__name__)


class WrittenByAnother(Exception):
    """Another process has recorded a sweep of this host since this process did."""


@dataclass(slots=True)
class Tally:
    """The number of rows that a batch inserted and changed, not counting updates of `last_seen_at` alone."""

    seen: int = 0
    snapshots: int = 0
    opened: int = 0
    updated: int = 0
    silent: int = 0


class Recorder:
    """Records the sweeps of one host, from one thread at a time."""

    def __init__(self, *, host_id: int, gap: timedelta) -> None:
        self._host_id = host_id
        self._gap = gap
        self._writer = uuid.uuid4()
        self._known: dict[int, Known] = {}
        self._silences = Silences(host_id)
        self._chosen = news.Chosen()
        self._clock = clock.Watch()
        self._has_begun = False

    def begin(self, *, now: datetime) -> bool:
        """Start a sweep and make this process the writer of the host; return whether it was the writer before."""
        step = self._clock.step()
        if step:
            logger.warning("The clock was %s; what is stored of games follows it", clock.in_words(step))
            self._forget()
            # Durations of silence contain the step.
            self._silences.clear()
        if step < 0 or not self._has_begun:
            _bring_back(self._host_id, now=now)
        if not self._has_begun:
            totals.catch_up(self._host_id)
            self._has_begun = True
        sweep = Sweep.objects.filter(host_id=self._host_id).first()
        was_writer = sweep is not None and sweep.writer == self._writer
        # Another process was the writer since the last sweep, so the rows may differ from the cache.
        if not was_writer:
            self._forget()
        Sweep.objects.update_or_create(
            host_id=self._host_id, defaults={"writer": self._writer, "started_at": now, "answered": 0, "silent": 0}
        )
        return was_writer

    def record(self, batch: Iterable[Result], *, now: datetime) -> Tally:
        """Write a batch. Raises WrittenByAnother, and then nothing of the batch was written."""
        batch = list(batch)
        try:
            return self._record(batch, now)
        except IntegrityError:
            # The cache differs from the rows, or a server has just been deleted: read the rows and try once more.
            logger.warning("Recording a sweep collided with other changes; reading the rows again")
            self._forget()
        try:
            return self._record(batch, now)
        except BaseException:
            self._forget()
            raise

    def end(self, *, seconds: float, answered: int, silent: int) -> None:
        """Finish a sweep: keep its duration and counts. Raises WrittenByAnother."""
        self._claim(seconds=seconds, answered=answered, silent=silent)

    def close_lost_stays(self, *, ended: set[int], now: datetime) -> int:
        """Close the open sessions of servers that were silent for too long or have `ended`; returns their number."""
        # Without a join on the host: the index of open sessions alone answers this, whatever the size of the history.
        with_stays = PlayerSession.objects.open().values_list("server_id", flat=True).distinct()
        candidates = [
            server_id for server_id in with_stays if server_id in ended or not self._answered_recently(server_id, now)
        ]
        # The sessions of other hosts' servers are closed by the workers of those hosts.
        if candidates:
            own = Server.objects.filter(pk__in=candidates, host_id=self._host_id)
            candidates = list(own.values_list("pk", flat=True))
        # The cache knows nothing right after a start of the worker, so the rows decide who was silent for too long.
        seen = last_seen(candidates) if candidates else {}
        lost = [
            server_id
            for server_id in candidates
            if server_id in ended or server_id not in seen or now - seen[server_id] > self._gap
        ]
        stays = list(PlayerSession.objects.open().filter(server_id__in=lost)) if lost else []
        for row in stays:
            row.left_at = max(row.joined_at, seen.get(row.server_id, row.joined_at))
        with transaction.atomic():
            self._claim()
            PlayerSession.objects.bulk_update(stays, ["left_at"], batch_size=500)
            totals.refresh({(row.server_id, row.steam_id_64) for row in stays})
            self._silences.end(ended)
        signals.send(f"{signals.PLAYERS}:{row.server_id}" for row in stays)
        for server_id in ended.union(lost):
            self._known.pop(server_id, None)
        return len(stays)

    def _answered_recently(self, server_id: int, now: datetime) -> bool:
        known = self._known.get(server_id)
        return known is not None and known.seen_at is not None and now - known.seen_at <= self._gap

    def _record(self, batch: list[Result], now: datetime) -> Tally:
        try:
            self._load([result.server_id for result in batch if result.server_id not in self._known])
            # A server without rows was deleted while it was polled.
            batch = [result for result in batch if result.server_id in self._known]
            answered = [result for result in batch if isinstance(result, Answered)]
            silent = [result for result in batch if isinstance(result, Unanswered)]
            compared = self._compare(answered, now)
            before = {server_id: self._known[server_id].snapshot for server_id, _changes in compared}
            with transaction.atomic():
                self._claim()
                tally = self._write(compared, now)
                news.tell(compared, before=before, known=self._chosen, now=now)
                tally.silent = self._silences.add(silent, now)
                answering_again = self._silences.end(_ids(answered))
        except BaseException:
            # The transaction was rolled back, but the cache already holds what it would have written.
            self._forget()
            raise
        changed = [server_id for server_id, changes in compared if changes != Changes()]
        signals.send(f"{signals.PLAYERS}:{server_id}" for server_id in {*changed, *answering_again, *_ids(silent)})
        return tally

    def _claim(self, **fields: float) -> None:
        """Lock the host's `Sweep` row until the end of the transaction. Raises WrittenByAnother."""
        own = Sweep.objects.filter(host_id=self._host_id, writer=self._writer)
        # An UPDATE even if nothing changes: it takes the lock.
        if not own.update(writer=self._writer, **fields):
            self._forget()
            raise WrittenByAnother

    def _forget(self) -> None:
        self._known.clear()
        self._silences.forget()

    # --- reading ---------------------------------------------------------------------------------------------

    def _load(self, server_ids: list[int]) -> None:
        """Read the rows of these servers into the cache; deleted servers are left out."""
        if not server_ids:
            return
        existing = Server.objects.filter(pk__in=server_ids).values_list("pk", flat=True)
        loaded = {server_id: Known() for server_id in existing}
        for snapshot in Snapshot.objects.latest_of(server_ids):
            known = loaded[snapshot.server_id]
            known.snapshot_id, known.snapshot, known.seen_at = snapshot.pk, snapshot.state, snapshot.last_seen_at
        for session in PlayerSession.objects.open().filter(server_id__in=server_ids):
            loaded[session.server_id].stays[session.steam_id_64] = _stay(session)
        self._known.update(loaded)

    def _compare(self, answered: list[Answered], now: datetime) -> list[tuple[int, Changes]]:
        earlier = self._earlier_stays(answered, now)
        return [
            (
                result.server_id,
                reconcile.changes(
                    self._known[result.server_id],
                    result.status,
                    now,
                    earlier=earlier.get(result.server_id, {}),
                    gap=self._gap,
                ),
            )
            for result in answered
        ]

    def _earlier_stays(self, answered: list[Answered], now: datetime) -> dict[int, dict[int, Stay]]:
        """The newcomers' last closed sessions, where they overlap with the connection that is open now."""
        newcomers: dict[int, set[int]] = {}
        longest = 0
        for result in answered:
            accounts = reconcile.newcomers(self._known[result.server_id], result.status)
            if accounts:
                newcomers[result.server_id] = accounts
                longest = max(longest, *(player.connected_seconds or 0 for player in result.status.people))
        if not newcomers:
            return {}
        # A session that ended before the longest present connection began cannot be the same connection.
        closed = PlayerSession.objects.filter(
            server_id__in=newcomers.keys(),
            steam_id_64__in=set().union(*newcomers.values()),
            left_at__gte=now - timedelta(seconds=longest) - reconcile.JOIN_TOLERANCE,
        ).order_by("left_at", "pk")
        earlier: dict[int, dict[int, Stay]] = {}
        for row in closed:
            if row.steam_id_64 in newcomers[row.server_id]:
                # Sorted by time, so the latest session of an account wins.
                earlier.setdefault(row.server_id, {})[row.steam_id_64] = _stay(row)
        return earlier

    # --- writing ---------------------------------------------------------------------------------------------

    def _write(self, compared: list[tuple[int, Changes]], now: datetime) -> Tally:
        tally = Tally(seen=len(compared))
        self._write_snapshots(compared, now, tally)
        changed = {
            stay.id: stay
            for _, changes in compared
            for stay in (*changes.pinged, *(entry[1] for entry in (*changes.closed, *changes.reopened)))
        }
        # Close before opening: an account that left and came back between two polls may have one open session only.
        PlayerSession.objects.bulk_update(
            [
                PlayerSession(pk=stay.id, left_at=stay.left_at, min_ping=stay.min_ping, max_ping=stay.max_ping)
                for stay in changed.values()
            ],
            ["left_at", "min_ping", "max_ping"],
            batch_size=200,
        )
        tally.updated = len(changed)
        self._cache_stays(compared)
        self._open_stays(compared, tally)
        totals.refresh(_who_came_or_went(compared))
        return tally

    def _write_snapshots(self, compared: list[tuple[int, Changes]], now: datetime, tally: Tally) -> None:
        unchanged: list[int] = [
            snapshot_id
            for server_id, changes in compared
            if changes.snapshot is None and (snapshot_id := self._known[server_id].snapshot_id) is not None
        ]
        # The common case: one UPDATE extends the snapshots of all unchanged servers.
        if unchanged and Snapshot.objects.filter(pk__in=unchanged).update(last_seen_at=now) != len(unchanged):
            raise IntegrityError("A cached snapshot does not exist any more.")
        new = [(server_id, changes.snapshot) for server_id, changes in compared if changes.snapshot is not None]
        keys = rows.insert(Snapshot, _SNAPSHOT_FIELDS, [_snapshot(server_id, state, now) for server_id, state in new])
        for server_id, _changes in compared:
            self._known[server_id].seen_at = now
        for key, (server_id, state) in zip(keys, new, strict=True):
            known = self._known[server_id]
            known.snapshot_id, known.snapshot = key, state
        tally.snapshots = len(new)

    def _cache_stays(self, compared: list[tuple[int, Changes]]) -> None:
        for server_id, changes in compared:
            stays = self._known[server_id].stays
            for account, _ in changes.closed:
                del stays[account]
            stays.update(changes.reopened)

    def _open_stays(self, compared: list[tuple[int, Changes]], tally: Tally) -> None:
        opened = [(server_id, arrival) for server_id, changes in compared for arrival in changes.opened]
        keys = rows.insert(PlayerSession, _SESSION_FIELDS, [_session(*each) for each in opened])
        for key, (server_id, arrival) in zip(keys, opened, strict=True):
            stay = Stay(key, arrival.joined_at, None, arrival.ping, arrival.ping)
            self._known[server_id].stays[arrival.steam_id_64] = stay
        tally.opened = len(opened)


def _ids(results: Iterable[Result]) -> list[int]:
    return [result.server_id for result in results]


def _who_came_or_went(compared: list[tuple[int, Changes]]) -> set[tuple[int, int]]:
    """The servers and accounts whose visits began, ended or go on after all."""
    return {
        (server_id, account)
        for server_id, changes in compared
        for account in (
            *(arrival.steam_id_64 for arrival in changes.opened),
            *(account for account, _stay in (*changes.closed, *changes.reopened)),
        )
    }


@transaction.atomic
def _bring_back(host_id: int, *, now: datetime) -> None:
    """Move what was recorded while the clock was ahead to the present, where the next sweep goes on from it."""
    of_host = Q(server__host=host_id)
    newest = Snapshot.objects.latest_of(list(Server.objects.filter(host=host_id).values_list("pk", flat=True)))
    Snapshot.objects.filter(of_host, started_at__gt=now).update(started_at=now, last_seen_at=now)
    Snapshot.objects.filter(pk__in=list(newest.values_list("pk", flat=True)), last_seen_at__gt=now).update(
        last_seen_at=now
    )
    stays = PlayerSession.objects.filter(of_host)
    moved = set(stays.filter(Q(joined_at__gt=now) | Q(left_at__gt=now)).values_list("server_id", "steam_id_64"))
    # In this order: a row that ends before it begins is refused.
    stays.filter(joined_at__gt=now).update(joined_at=now)
    stays.filter(left_at__gt=now).update(left_at=now)
    totals.refresh(moved)


def _stay(session: PlayerSession) -> Stay:
    return Stay(session.pk, session.joined_at, session.left_at, session.min_ping, session.max_ping)


_SNAPSHOT_FIELDS = (
    "server",
    "started_at",
    "last_seen_at",
    "players",
    "max_players",
    "bots",
    "map",
    "hibernating",
    "connecting",
)


def _snapshot(server_id: int, state: reconcile.SnapshotState, now: datetime) -> tuple[object, ...]:
    return (
        server_id,
        now,
        now,
        state.players,
        state.max_players,
        state.bots,
        state.map,
        state.hibernating,
        [list(player) for player in state.connecting],
    )


_SESSION_FIELDS = ("server", "steam_id_64", "joined_at", "name_at_join", "min_ping", "max_ping")


def _session(server_id: int, arrival: Arrival) -> tuple[object, ...]:
    return server_id, arrival.steam_id_64, arrival.joined_at, arrival.name, arrival.ping, arrival.ping
