"""Tracks running servers that do not answer RCON; the row is deleted at the next answer."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from left4me.core.rows import storable
from livestate.models import Silence
from livestate.poller import Unanswered

LONGEST_MESSAGE = 300
# A reason that stays the same is written to the log again after this time.
LOG_AGAIN_AFTER = timedelta(hours=1)

logger = logging.getLogger(__name__)


class Silences:
    """The `Silence` rows of one host, cached until `forget` is called."""

    def __init__(self, host_id: int) -> None:
        self._host_id = host_id
        self._rows: dict[int, tuple[datetime, int]] | None = None
        # The reason that was logged last for each server, and when.
        self._logged: dict[int, tuple[str, datetime]] = {}

    def forget(self) -> None:
        self._rows = None

    def clear(self) -> None:
        """Delete the rows of the host: silences count from the next poll."""
        Silence.objects.filter(server__host_id=self._host_id).delete()
        self._rows = None

    def add(self, silent: Iterable[Unanswered], now: datetime) -> int:
        """Count one more failed poll of each server; returns their number."""
        cached = self._cached()
        rows = []
        for result in silent:
            self._log(result, now)
            since, count = cached.get(result.server_id, (now, 0))
            cached[result.server_id] = (since, count + 1)
            rows.append(
                Silence(
                    server_id=result.server_id,
                    since=since,
                    last_at=now,
                    count=count + 1,
                    reason=result.reason,
                    message=storable(result.message, LONGEST_MESSAGE),
                )
            )
        Silence.objects.bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=["server"],
            update_fields=["since", "last_at", "count", "reason", "message"],
        )
        return len(rows)

    def end(self, server_ids: Iterable[int]) -> list[int]:
        """Delete the rows of servers that answered, or that do not run any more; return which had one."""
        cached = self._cached()
        server_ids = list(server_ids)
        for server_id in server_ids:
            self._logged.pop(server_id, None)
        ended = [server_id for server_id in server_ids if server_id in cached]
        if ended:
            Silence.objects.filter(server_id__in=ended).delete()
            for server_id in ended:
                del cached[server_id]
        return ended

    def _log(self, result: Unanswered, now: datetime) -> None:
        """Write why a poll failed to the log: when the reason changes, and once an hour."""
        message, logged_at = self._logged.get(result.server_id, ("", now))
        if message == result.message and now - logged_at < LOG_AGAIN_AFTER:
            return
        self._logged[result.server_id] = (result.message, now)
        logger.warning("rcon query failed for server %d: %s", result.server_id, result.message)

    def _cached(self) -> dict[int, tuple[datetime, int]]:
        if self._rows is None:
            rows = Silence.objects.filter(server__host_id=self._host_id).values_list("server_id", "since", "count")
            self._rows = {server_id: (since, count) for server_id, since, count in rows}
        return self._rows
