"""Reads what games have told (`events.nut`). Runs on the host of the games, in every sweep of live state."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Final

from left4me.core.files import walk
from left4me.core.redis import signals
from left4me.core.rows import storable
from livestate.poller import Answered
from livestate.reconcile import LONGEST_MAP
from livestate.rotation.models import GameEvent
from servers.hosts import this_host

logger = logging.getLogger(__name__)

FILE: Final = PurePosixPath("left4dead2/ems/left4me_events.txt")
# Sixteen kilobytes are the most that a script of the game can read again.
_LARGEST: Final = 16 * 1024
_KNOWN: Final = frozenset(
    {"finale_win", "versus_match_finished", "scavenge_match_finished", "round_end"}
    | {"vote_started", "vote_passed", "vote_failed"}
)
_KEY: Final = re.compile(r"[0-9a-f]{8}-[0-9]{1,9}")
_MOST_FIELDS: Final = 8
_LONGEST_FIELD: Final = 120


class Reader:
    """Stores the new events of the servers of a host. Remembers which files it has read in which state."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[int, int]] = {}
        self._populated: set[int] = set()

    def read(self, answers: Sequence[Answered], *, now: datetime) -> int:
        """Read the files of servers with players, and of those that had some at the last look; returns the new events.

        Without players nobody votes and no campaign ends.
        """
        populated = {answer.server_id for answer in answers if answer.status.people_seen}
        rows: list[GameEvent] = []
        for server_id in sorted(populated | self._populated):
            rows += self._of_server(server_id, now)
        self._populated = populated
        if rows:
            # The unique key tells which of the lines are new.
            known = {
                (server_id, key)
                for server_id, key in GameEvent.objects.filter(
                    server__in={row.server_id for row in rows}, key__in=[row.key for row in rows]
                ).values_list("server_id", "key")
            }
            rows = [row for row in rows if (row.server_id, row.key) not in known]
            GameEvent.objects.bulk_create(rows, ignore_conflicts=True)
            signals.send(f"{signals.PLAYERS}:{row.server_id}" for row in rows)
        return len(rows)

    def _of_server(self, server_id: int, now: datetime) -> list[GameEvent]:
        try:
            with walk.open_below(this_host.storage().upper_of(server_id), FILE.parts) as stream:
                stat = os.fstat(stream.fileno())
                state = (stat.st_mtime_ns, stat.st_size)
                if self._seen.get(server_id) == state:
                    return []
                text = stream.read(_LARGEST).decode(errors="replace")
        except OSError:
            return []
        self._seen[server_id] = state
        at = datetime.fromtimestamp(stat.st_mtime, UTC)
        # A file that was written long ago is what a worker finds when it starts.
        if abs(now - at) > GameEvent.FRESH:
            return []
        return [event for line in text.splitlines() if (event := parse(line, server_id=server_id, at=min(at, now)))]


def parse(line: str, *, server_id: int, at: datetime) -> GameEvent | None:
    """The event in a line of the file; None for a line of another form: games and plugins may write anything."""
    key, *fields = line.split("\t")
    if not _KEY.fullmatch(key) or not 3 <= len(fields) <= 3 + _MOST_FIELDS or fields[0] not in _KNOWN:
        return None
    name, map_name, mode, *details = (storable(field, _LONGEST_FIELD) for field in fields)
    return GameEvent(
        server_id=server_id,
        key=key,
        name=name,
        map=map_name[:LONGEST_MAP],
        mode=mode[:32],
        details=details,
        at=at,
        is_handled=name.startswith("vote_"),
    )
