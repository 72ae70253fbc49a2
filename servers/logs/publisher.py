"""Publishes a server's log from its host to its viewers: one tailer per server, for any number of viewers.

This is the host's side. Lines go into a capped Redis stream, from which viewers begin and resume, and onto a channel,
which they follow. `servers.logs.streams` is the viewers' side: it renews a key, and the tailer ends when that expires.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Sequence
from typing import cast

import redis
from django.db import connections

from left4me.core.lines import Masker
from left4me.core.redis import keys
from left4me.core.redis.client import client
from servers.gamehost.port import LogLine, ServerRuntime
from servers.models import Server

logger = logging.getLogger(__name__)

FIRST_LINES = 200
WATCH_SECONDS = 15
# Long enough for viewers to resume after a lost connection; after that the log is read again from the runtime.
KEPT_AFTER_SECONDS = 60
STREAM_LINES = 2_000
_LINES_A_SECOND = 200
_LONGEST_LINE = 4_096


class Tailers:
    """The tailers of this worker, each in a thread of its own. Servers without viewers have none."""

    def __init__(self, runtime: ServerRuntime) -> None:
        self._runtime = runtime
        self._running: set[int] = set()
        self._lock = threading.Lock()

    def ensure(self, server_id: int) -> None:
        """Start the tailer of `server_id` unless one runs in this or another worker of this host."""
        with self._lock:
            if server_id in self._running:
                return
            self._running.add(server_id)
        threading.Thread(target=self._run, args=[server_id], name=f"tail-{server_id}", daemon=True).start()

    def _run(self, server_id: int) -> None:
        try:
            Tailer(server_id, runtime=self._runtime, client=client()).run()
        except redis.RedisError as error:
            # Viewers notice that the tailer is gone and request it again.
            logger.warning("reading the log of server %s failed: %s", server_id, error)
        finally:
            connections.close_all()
            with self._lock:
                self._running.discard(server_id)


class Tailer:
    """Publishes the log of one server until it has no viewers left."""

    def __init__(self, server_id: int, *, runtime: ServerRuntime, client: redis.Redis) -> None:
        self._server_id = server_id
        self._runtime = runtime
        self._client = client
        self._checked_at = 0.0
        self._viewers = True
        self._mask = Masker()
        self._sealed: tuple[str, str] | None = None
        self._budget = _Budget(_LINES_A_SECOND)
        self._last_id = "0"

    def run(self) -> None:
        """Publish lines until there are no viewers. Raises RedisError when Redis is lost."""
        # The key is a lock with an expiry: another worker of this host may have started the same tailer.
        if not self._client.set(keys.server_log_tailer(self._server_id), "1", nx=True, ex=WATCH_SECONDS):
            return
        try:
            self._renew_mask()
            cursor = self._resume() or self._begin()
            self._runtime.follow(
                self._server_id, cursor=cursor, on_lines=self._push, cancelled=lambda: not self._has_viewers()
            )
        finally:
            self._client.expire(keys.server_log(self._server_id), KEPT_AFTER_SECONDS)
            self._client.delete(keys.server_log_tailer(self._server_id))

    def _resume(self) -> str | None:
        """The cursor of the last published line, if its stream still exists."""
        newest = self._client.xrevrange(keys.server_log(self._server_id), count=1)
        if not newest:
            return None
        self._last_id = cast("bytes", newest[0][0]).decode()
        cursor = cast("dict[bytes, bytes]", newest[0][1]).get(b"cursor", b"")
        return cursor.decode() or None

    def _begin(self) -> str | None:
        lines = self._runtime.tail(self._server_id, lines=FIRST_LINES)
        self._publish(lines)
        return lines[-1].cursor if lines else None

    def _has_viewers(self) -> bool:
        now = time.monotonic()
        if now - self._checked_at > 1:
            self._checked_at = now
            pipe = self._client.pipeline(transaction=False)
            pipe.exists(keys.server_log_watched(self._server_id))
            pipe.expire(keys.server_log_tailer(self._server_id), WATCH_SECONDS)
            # Also while it is viewed: a worker that is killed leaves no stream behind.
            pipe.expire(keys.server_log(self._server_id), KEPT_AFTER_SECONDS)
            self._viewers = bool(pipe.execute()[0])
            self._renew_mask()
        return self._viewers

    def _renew_mask(self) -> None:
        """Read the server's passwords: a new one is stored before the game is started with it."""
        rows = Server.objects.filter(pk=self._server_id)
        sealed = rows.values_list("sealed_rcon_password", "applied_sealed_rcon_password").first()
        if sealed == self._sealed:
            # Reading the whole row and decrypting would be most of what a log costs that nobody writes to.
            return
        server = rows.first()
        if server is not None:
            self._sealed, self._mask = sealed, server.masker

    def _push(self, lines: list[LogLine]) -> None:
        allowed = self._budget.take(len(lines))
        left_out = len(lines) - allowed
        if left_out:
            note = f"… {left_out} lines not shown; download the log to see them."
            lines = [LogLine(text=note, at=lines[0].at, cursor=lines[left_out - 1].cursor), *lines[left_out:]]
        self._publish(lines)

    def _publish(self, lines: Sequence[LogLine]) -> None:
        if not lines:
            return
        pipe = self._client.pipeline(transaction=False)
        messages = []
        for line in lines:
            at = line.at.isoformat() if line.at else ""
            text = self._mask(line.text)[:_LONGEST_LINE]
            fields: dict[str | bytes, str] = {"text": text, "at": at, "cursor": line.cursor}
            pipe.xadd(keys.server_log(self._server_id), fields, maxlen=STREAM_LINES, approximate=True)  # type: ignore[arg-type]
            messages.append({"text": text, "at": at})
        ids = [identifier.decode() for identifier in pipe.execute()]
        for message, identifier in zip(messages, ids, strict=True):
            message["id"] = identifier
        # By `after` viewers notice a missed batch, and read it from the stream.
        self._client.publish(
            keys.server_log_channel(self._server_id), json.dumps({"after": self._last_id, "lines": messages})
        )
        self._last_id = ids[-1]


class _Budget:
    """A token bucket: so many lines a second, saved up for two seconds at most."""

    def __init__(self, a_second: int) -> None:
        self._a_second = a_second
        self._left = 2.0 * a_second
        self._at = time.monotonic()

    def take(self, requested: int) -> int:
        now = time.monotonic()
        self._left = min(2.0 * self._a_second, self._left + (now - self._at) * self._a_second)
        self._at = now
        granted = min(requested, int(self._left))
        self._left -= granted
        return granted
