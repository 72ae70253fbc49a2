"""Carries a server's log from its host to those who watch: one tailer per server, however many viewers.

The host's side: lines go into a capped Redis stream (to begin from, and to resume) and onto a channel (to follow).
The viewers' side only renews a key; when nobody does any more, the tailer ends. `servers.logs.streams` is that side.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Sequence
from typing import cast

import redis

from left4me.core.redis import keys
from left4me.core.redis.client import client
from servers.gamehost.port import LogLine, ServerRuntime

logger = logging.getLogger(__name__)

FIRST_LINES = 200
WATCH_SECONDS = 15
# Long enough to resume a viewer that lost its connection, short enough that a stale log is read afresh.
_KEPT_AFTER_SECONDS = 60
_STREAM_LINES = 2_000
_LINES_A_SECOND = 200
_LONGEST_LINE = 4_096


class Tailers:
    """The tailers of this worker: a thread each, none without viewers."""

    def __init__(self, runtime: ServerRuntime) -> None:
        self._runtime = runtime
        self._running: set[int] = set()
        self._lock = threading.Lock()

    def ensure(self, server_id: int) -> None:
        """Start the tailer of `server_id` unless it runs, here or in another worker of this host."""
        with self._lock:
            if server_id in self._running:
                return
            self._running.add(server_id)
        threading.Thread(target=self._run, args=[server_id], name=f"tail-{server_id}", daemon=True).start()

    def _run(self, server_id: int) -> None:
        try:
            Tailer(server_id, runtime=self._runtime, client=client()).run()
        except redis.RedisError as error:
            # Viewers notice the silence and ask again.
            logger.warning("the log of server %s is not carried on: %s", server_id, error)
        finally:
            with self._lock:
                self._running.discard(server_id)


class Tailer:
    def __init__(self, server_id: int, *, runtime: ServerRuntime, client: redis.Redis) -> None:
        self._server_id = server_id
        self._runtime = runtime
        self._client = client
        self._asked_at = 0.0
        self._watched = True
        self._budget = _Budget(_LINES_A_SECOND)
        self._last_id = "0"

    def run(self) -> None:
        """Carry lines until nobody watches. Raises RedisError when Redis is lost."""
        if not self._client.set(keys.server_log_tailer(self._server_id), "1", nx=True, ex=WATCH_SECONDS):
            return
        try:
            cursor = self._resume() or self._begin()
            self._runtime.follow(
                self._server_id, cursor=cursor, on_lines=self._push, cancelled=lambda: not self._is_watched()
            )
        finally:
            self._client.expire(keys.server_log(self._server_id), _KEPT_AFTER_SECONDS)
            self._client.delete(keys.server_log_tailer(self._server_id))

    def _resume(self) -> str | None:
        """The cursor of the last line carried, if that was a moment ago."""
        newest = self._client.xrevrange(keys.server_log(self._server_id), count=1)
        if not newest:
            return None
        self._client.persist(keys.server_log(self._server_id))
        self._last_id = cast("bytes", newest[0][0]).decode()
        cursor = cast("dict[bytes, bytes]", newest[0][1]).get(b"cursor", b"")
        return cursor.decode() or None

    def _begin(self) -> str | None:
        lines = self._runtime.tail(self._server_id, lines=FIRST_LINES)
        self._carry(lines)
        return lines[-1].cursor if lines else None

    def _is_watched(self) -> bool:
        now = time.monotonic()
        if now - self._asked_at > 1:
            self._asked_at = now
            self._watched = bool(self._client.exists(keys.server_log_watched(self._server_id)))
            self._client.expire(keys.server_log_tailer(self._server_id), WATCH_SECONDS)
        return self._watched

    def _push(self, lines: list[LogLine]) -> None:
        allowed = self._budget.take(len(lines))
        left_out = len(lines) - allowed
        if left_out:
            words = f"… {left_out} lines in a flood are left out here; the log file has them."
            lines = [LogLine(text=words, at=lines[0].at, cursor=lines[left_out - 1].cursor), *lines[left_out:]]
        self._carry(lines)

    def _carry(self, lines: Sequence[LogLine]) -> None:
        if not lines:
            return
        pipe = self._client.pipeline(transaction=False)
        told = []
        for line in lines:
            at = line.at.isoformat() if line.at else ""
            text = line.text[:_LONGEST_LINE]
            fields: dict[str | bytes, str] = {"text": text, "at": at, "cursor": line.cursor}
            pipe.xadd(keys.server_log(self._server_id), fields, maxlen=_STREAM_LINES, approximate=True)  # type: ignore[arg-type]
            told.append({"text": text, "at": at})
        ids = [identifier.decode() for identifier in pipe.execute()]
        for one, identifier in zip(told, ids, strict=True):
            one["id"] = identifier
        # `after` lets a viewer see that it missed a batch, and read it from the stream.
        self._client.publish(
            keys.server_log_channel(self._server_id), json.dumps({"after": self._last_id, "lines": told})
        )
        self._last_id = ids[-1]


class _Budget:
    """How many lines may pass: so many a second, saved up for two seconds at most."""

    def __init__(self, a_second: int) -> None:
        self._a_second = a_second
        self._left = 2.0 * a_second
        self._at = time.monotonic()

    def take(self, wanted: int) -> int:
        now = time.monotonic()
        self._left = min(2.0 * self._a_second, self._left + (now - self._at) * self._a_second)
        self._at = now
        granted = min(wanted, int(self._left))
        self._left -= granted
        return granted
