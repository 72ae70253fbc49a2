"""Demos by time: of a server between two moments, of a visit, and who is in a demo."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from django.http import Http404
from django.utils import timezone
from django.utils.translation import gettext as _

from livestate.demos.models import Demo
from livestate.live import ShownPlayer, with_profiles
from livestate.matches import demos as match_demos
from livestate.models import PlayerSession
from servers.models import Server

# A page names so many of the players of a demo.
MOST_PLAYERS: Final = 32


def between(server: Server, start: datetime, end: datetime) -> list[Demo]:
    """The demos of a server that show any of the time from `start` to `end`, the earliest first.

    Other parts of the application, such as pages of matches, link them: `demo.get_absolute_url()` is the page of a
    demo, and `{% url 'demos:download' server.pk demo.pk %}` the file. Files that are no demos are left out. Of a demo
    that is still recorded, the last minute is missing.
    """
    rows = Demo.objects.filter(server=server).exclude(state=Demo.State.DAMAGED)
    return list(rows.during(start, end).order_by("started_at", "pk"))


def of_match(server: Server, start: datetime, end: datetime) -> list[match_demos.Demo]:
    """The same as links, for the page of a match."""
    demos = between(server, start, end)
    return [match_demos.Demo(title=demo.map or demo.name, url=demo.get_absolute_url()) for demo in demos]


def of_visits(visits: Iterable[PlayerSession]) -> dict[int, list[Demo]]:
    """The demos that show a part of each visit, the earliest first, by the visit's id; in one query."""
    visits = list(visits)
    if not visits:
        return {}
    now = timezone.now()
    rows = Demo.objects.filter(server__in={visit.server_id for visit in visits}).exclude(state=Demo.State.DAMAGED)
    rows = rows.during(min(v.joined_at for v in visits), max(v.left_at or now for v in visits))
    found: dict[int, list[Demo]] = defaultdict(list)
    for demo in rows.order_by("started_at", "pk"):
        for visit in visits:
            is_of_server = demo.server_id == visit.server_id
            if is_of_server and demo.started_at < (visit.left_at or now) and demo.ended_at > visit.joined_at:
                found[visit.pk].append(demo)
    return dict(found)


def players(demos: Iterable[Demo]) -> dict[int, list[ShownPlayer]]:
    """Who was on the server during each of these demos of one server, by the demo's id; each player once."""
    demos = list(demos)
    if not demos:
        return {}
    start, end = min(demo.started_at for demo in demos), max(demo.ended_at for demo in demos)
    # Not by one query, nor in order: SQLite would read all visits that began before the end.
    visits = PlayerSession.objects.filter(server=demos[0].server_id, joined_at__lt=end)
    sessions = sorted(
        (*visits.filter(left_at__gte=start), *visits.open()), key=lambda visit: (visit.joined_at, visit.pk)
    )
    shown = dict(zip((session.pk for session in sessions), with_profiles(sessions), strict=True))
    found: dict[int, list[ShownPlayer]] = {}
    for demo in demos:
        present: dict[int, ShownPlayer] = {}
        for session in sessions:
            if session.joined_at < demo.ended_at and (session.left_at is None or session.left_at > demo.started_at):
                present.setdefault(session.steam_id_64, shown[session.pk])
        found[demo.pk] = list(present.values())
    return found


def demo_or_404(server: Server, pk: int) -> Demo:
    """A demo of a server that the user may see. Raises Http404."""
    demo = Demo.objects.filter(server=server, pk=pk).first()
    if demo is None:
        raise Http404(_("There is no such demo."))
    demo.server = server
    return demo
