"""Marks on the charts of a server: crashes, starts, stops, and changes of the map."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import pairwise

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from livestate.campaigns import MapTitles
from livestate.figures.series import Range, Series
from livestate.models import Snapshot
from servers.models import Server, StateChange

# Changes of the map are marked while there is room between them; a campaign has one every quarter of an hour.
WITH_MAPS = (Range.HOUR, Range.HOURS)
MOST_MARKS = 200


class Kind(StrEnum):
    CRASH = "crash"
    START = "start"
    STOP = "stop"
    MAP = "map"


@dataclass(frozen=True, slots=True)
class Mark:
    at: datetime
    kind: Kind
    title: str | Promise
    detail: str = ""


_BY_STATE: dict[str, tuple[Kind, Promise]] = {
    Server.State.STARTING: (Kind.START, _("Started")),
    Server.State.STOPPED: (Kind.STOP, _("Stopped")),
    Server.State.CRASHED: (Kind.CRASH, _("Crashed")),
    Server.State.GAVE_UP: (Kind.CRASH, _("Keeps crashing")),
}


def of_server(server: Server, series: Series) -> list[Mark]:
    """The newest marks of the span of `series`, in order of time."""
    marks = _of_states(server, series)
    if series.range in WITH_MAPS:
        marks += _of_maps(server, series)
    return sorted(marks, key=lambda mark: mark.at)[-MOST_MARKS:]


def _of_states(server: Server, series: Series) -> list[Mark]:
    rows = StateChange.objects.filter(
        server=server, at__gte=series.start, at__lt=series.end, state__in=_BY_STATE
    ).values_list("at", "state", "detail")[:MOST_MARKS]
    return [Mark(at, *_BY_STATE[state], detail) for at, state, detail in rows]


def _of_maps(server: Server, series: Series) -> list[Mark]:
    rows = Snapshot.objects.during(series.start, series.end).filter(server=server).order_by("started_at", "pk")
    titles = MapTitles([server])
    return [
        Mark(at, Kind.MAP, name, str(titles.chapter(server.pk, name) or ""))
        for (_, before), (at, name) in pairwise(rows.values_list("started_at", "map"))
        if name and name != before
    ]
