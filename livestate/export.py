"""Sessions as CSV, for spreadsheets."""

from __future__ import annotations

import csv
from datetime import datetime
from typing import Protocol

from livestate.history import Span
from livestate.live import people
from livestate.models import PlayerSession
from servers.models import Server

HEADINGS = ["steam_id_64", "name", "name_at_join", "joined_at", "left_at", "seconds", "min_ping", "max_ping"]
# A name that begins so would be a formula to the spreadsheet that opens the file.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class _Writable(Protocol):
    def write(self, text: str, /) -> object: ...


def write_sessions(target: _Writable, server: Server, *, span: Span, now: datetime) -> None:
    """One row per stay that reaches into the span, the earliest first."""
    rows = PlayerSession.objects.during(now - span.length, now).filter(server=server).order_by("joined_at", "pk")
    writer = csv.writer(target)
    writer.writerow(HEADINGS)
    for person in people(list(rows)):
        session = person.session
        writer.writerow(
            [
                session.steam_id_64,
                _cell(person.name),
                _cell(session.name_at_join),
                session.joined_at.isoformat(),
                session.left_at.isoformat() if session.left_at else "",
                int(((session.left_at or now) - session.joined_at).total_seconds()),
                "" if session.min_ping is None else session.min_ping,
                "" if session.max_ping is None else session.max_ping,
            ]
        )


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
