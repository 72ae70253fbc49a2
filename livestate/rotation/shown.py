"""What pages and the API show of a server's maps: what is played, what comes next, and what happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from livestate import live
from livestate.rotation import actions, entries, plan, rotations
from livestate.rotation.entries import Availability, Entry, Maps
from livestate.rotation.models import MapState, Rotation
from livestate.rotation.plan import Step
from servers.models import Server

NOTES: dict[str, str | Promise] = {
    "changed": _("Changed to %(what)s."),
    "failed": _("The map was not changed: %(what)s."),
    "cancelled": _("The change was cancelled."),
    "changed_meanwhile": _("The change was dropped: the map was changed in another way."),
    "restarted": _("The change was dropped: the server was stopped or restarted."),
    "match": _("The map stays: a match is in progress."),
    "silent": _("The change was dropped: the game did not answer."),
    "over": _("The rotation is over: nothing is left that can be played."),
    "skipped_restart": _("Skipped %(what)s: it was added after the start of the server."),
    "skipped_gone": _("Skipped %(what)s: it is not on the server any more."),
}


@dataclass(frozen=True)
class Shown:
    """An entry with what its availability means for the running game."""

    entry: Entry
    title: str
    availability: Availability
    is_played: bool = False
    is_next: bool = False

    @property
    def label(self) -> str | Promise:
        match self.availability:
            case Availability.RESTART:
                return _("After a restart")
            case Availability.GONE:
                return _("Not on the server")
            case _:
                return ""


@dataclass(frozen=True)
class Note:
    at: datetime
    code: str
    what: str

    @property
    def text(self) -> str:
        return str(NOTES.get(self.code, "%(what)s")) % {"what": self.what}


@dataclass(frozen=True)
class Overview:
    """All that a page of a server shows, apart from votes."""

    live: live.Live
    row: MapState
    rotation: Rotation | None
    maps: Maps
    next: Step | None
    queue: list[Shown]
    listed: list[Shown]
    notes: list[Note]

    @property
    def next_title(self) -> str:
        return self.next.entry.called(self.maps.chapters) if self.next else ""

    @property
    def is_announced(self) -> bool:
        return self.row.due_at is not None

    @property
    def need_restart(self) -> list[str]:
        """What is listed and the running game cannot change to yet."""
        found = [each.title for each in (*self.queue, *self.listed) if each.availability is Availability.RESTART]
        return list(dict.fromkeys(found))

    @property
    def is_own(self) -> bool:
        return self.rotation is not None and self.rotation.server_id is not None


def of_server(server: Server, *, now: datetime) -> Overview:
    row, rotation, maps = actions.state_of(server), rotations.of_server(server), entries.of_server(server)
    state = live.of(server, now=now)
    if state.is_current:
        row.map = state.map.lower()
    chosen = plan.choose(rotation, row, maps).step
    playing = plan.played(rotation, row, row.map, maps) if state.is_current else None
    following = chosen.entry if chosen and not chosen.is_queued else None
    return Overview(
        live=state,
        row=row,
        rotation=rotation,
        maps=maps,
        next=chosen,
        queue=shown(row.queued, maps),
        listed=shown(rotation.listed if rotation else [], maps, playing=playing, following=following),
        notes=[Note(datetime.fromisoformat(each["at"]), each["code"], each["what"]) for each in row.notes],
    )


def shown(
    listed: Sequence[Entry], maps: Maps, *, playing: Entry | None = None, following: Entry | None = None
) -> list[Shown]:
    return [
        Shown(entry, entry.called(maps.chapters), maps.availability(entry), entry == playing, entry == following)
        for entry in listed
    ]


def as_json(overview: Overview) -> dict[str, Any]:
    """The overview as the API returns it."""
    row = overview.row
    return {
        "rotation": overview.rotation,
        "source": "none" if overview.rotation is None else "server" if overview.is_own else "blueprint",
        "entries": [entry_json(each) for each in overview.listed],
        "queue": [entry_json(each) for each in overview.queue],
        "next": entry_json(shown([overview.next.entry], overview.maps)[0]) if overview.next else None,
        "next_from": ("queue" if overview.next.is_queued else "rotation") if overview.next else None,
        "changes_at": row.due_at,
        "notes": [{"at": note.at, "code": note.code, "text": note.text} for note in overview.notes],
    }


def entry_json(each: Shown) -> dict[str, Any]:
    return {
        "code": each.entry.code,
        "kind": each.entry.kind,
        "map": each.entry.map,
        "title": each.title,
        "availability": each.availability,
    }
