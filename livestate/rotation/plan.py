"""What comes next on a server: the first of its queue that it can play, else the next of its rotation. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from livestate.rotation.entries import Availability, Entry, Maps
from livestate.rotation.models import MapState, Rotation

_SEEDS_TRIED = 20


@dataclass(frozen=True, slots=True)
class Step:
    """An entry that is to be played. `queued`: how many of the queue are used up; else its place in the rotation."""

    entry: Entry
    position: int
    seed: int
    queued: int = 0

    @property
    def is_queued(self) -> bool:
        return self.queued > 0


@dataclass(frozen=True, slots=True)
class Choice:
    """The next step, and the entries before it that the running game cannot change to."""

    step: Step | None
    skipped: list[tuple[Entry, Availability]] = field(default_factory=list)


def arranged(rotation: Rotation, seed: int) -> list[Entry]:
    """The entries in the order in which one round plays them."""
    entries = rotation.listed
    if rotation.sequence == Rotation.Sequence.SHUFFLED:
        random.Random(f"{seed}").shuffle(entries)  # noqa: S311 -- not a secret
    return entries


def ahead(rotation: Rotation | None, state: MapState, maps: Maps) -> Iterator[Step]:
    """The queue, then the rest of the round, then the whole next round if the rotation repeats."""
    for number, entry in enumerate(state.queued, start=1):
        yield Step(entry, state.position, state.seed, queued=number)
    if rotation is None or not rotation.is_on:
        return
    entries = arranged(rotation, state.seed)
    here = place(rotation, state, state.map, maps)
    start = here if here is not None else min(state.position, len(entries) - 1)
    yield from (Step(entry, number, state.seed) for number, entry in enumerate(entries) if number > start)
    if rotation.repeats and entries:
        seed = _next_seed(rotation, state.seed, last=entries[-1])
        yield from (Step(entry, number, seed) for number, entry in enumerate(arranged(rotation, seed)))


def played(rotation: Rotation | None, state: MapState, name: str, maps: Maps) -> Entry | None:
    """The entry of the rotation that a server with this map plays."""
    if rotation is None or not rotation.is_on:
        return None
    entries = arranged(rotation, state.seed)
    here = _places(entries, name, maps)
    return entries[state.position if state.position in here else here[0]] if here else None


def place(rotation: Rotation | None, state: MapState, name: str, maps: Maps) -> int | None:
    """The place in the present round of what a server with this map plays; None if it is not in it.

    A campaign that is listed twice is at the place that was reached last. One that comes from the queue is at none,
    also if it is listed: the rotation goes on where it was.
    """
    if rotation is None or not rotation.is_on or _is_queued(state, name, maps):
        return None
    here = _places(arranged(rotation, state.seed), name, maps)
    return None if not here else state.position if state.position in here else here[0]


def _places(entries: Sequence[Entry], name: str, maps: Maps) -> list[int]:
    return [number for number, entry in enumerate(entries) if entry.is_played_on(name, maps.chapters)]


def _is_queued(state: MapState, name: str, maps: Maps) -> bool:
    playing = state.playing
    return bool(playing and playing.get("from")) and Entry.load(playing or {}).is_played_on(name, maps.chapters)


def choose(rotation: Rotation | None, state: MapState, maps: Maps) -> Choice:
    skipped: list[tuple[Entry, Availability]] = []
    for step in ahead(rotation, state, maps):
        found = maps.availability(step.entry)
        if found is Availability.READY:
            return Choice(step, skipped)
        skipped.append((step.entry, found))
    return Choice(None, skipped)


def _next_seed(rotation: Rotation, seed: int, *, last: Entry) -> int:
    """The seed of the next round. Where that is possible, it does not begin with the last one of this round."""
    following = range(seed + 1, seed + 1 + _SEEDS_TRIED)
    return next((each for each in following if arranged(rotation, each)[0] != last), seed + 1)
