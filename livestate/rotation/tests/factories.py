"""Rotations, queues and what games told, as the application would have made them."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import count
from typing import Any

from livestate.rotation.entries import Entry, Kind
from livestate.rotation.models import GameEvent, MapState, Rotation
from servers.models import Blueprint, Server

_numbers = count(1)


def make_rotation(of: Blueprint | Server, maps: list[str], **fields: Any) -> Rotation:
    """A rotation of the campaigns with these first maps."""
    entries = [Entry(Kind.CAMPAIGN, name).dump() for name in maps]
    return Rotation.objects.create(**Rotation.place(of), entries=entries, **fields)


def make_announcement(server: Server, name: str, *, now: datetime, queue: list[Entry]) -> MapState:
    """A change that is announced at the end of the map, with a queue and something that happened before."""
    notes = [
        {"at": (now - timedelta(hours=1)).isoformat(), "code": "skipped_gone", "what": "A campaign that was deleted"},
        {"at": (now - timedelta(hours=2)).isoformat(), "code": "changed", "what": "The Parish"},
    ]
    return MapState.objects.create(
        server=server,
        map=name,
        queue=[entry.dump() for entry in queue],
        due_at=now + timedelta(seconds=15),
        announced_at=now,
        reason=MapState.Reason.FINISHED,
        notes=notes,
    )


def make_event(server: Server, name: str, at: datetime, *details: str, **fields: Any) -> GameEvent:
    given = {"key": f"{next(_numbers):08x}-1", "is_handled": name.startswith("vote_"), **fields}
    return GameEvent.objects.create(server=server, name=name, at=at, details=[*details], **given)
