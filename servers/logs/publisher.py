"""Publishes the logs of a host's servers to their viewers: one thread reads every log that somebody views.

This is the host's side. Lines go into a capped Redis stream, from which viewers begin and resume, and onto a channel,
which they follow. `servers.logs.streams` is the viewers' side: it renews a key, and the tailer ends when that expires.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import cast

import redis
from django.db import DatabaseError, connections

from left4me.core.lines import Masker
from left4me.core.redis import keys
from left4me.core.redis.client import client
from servers.gamehost.port import Follower, LogLine, RuntimeFault, ServerRuntime
from servers.models import Server

logger = logging.getLogger(__name__)

FIRST_LINES = 200
WATCH_SECONDS = 15
# Long enough for viewers to resume after a lost connection; after that the log is read again from the runtime.
KEPT_AFTER_SECONDS = 60
STREAM_LINES = 2_000
_LINES_A_SECOND = 200
_LONGEST_LINE = 4_096

_READ_EVERY = 0.2
# What is written within this time is one message to Redis, for all servers together.
_PAUSE_BETWEEN_MESSAGES = 0.02
_RENEW_MASKS_EVERY = 1.0
_RENEW_KEYS_EVERY = 3.0

# Stored and published in one step, so that the order of both is the same. By `after` viewers notice a missed batch,
# and read it from the stream. Arguments: the channel, how many lines are kept, then text, time and cursor of each.
_PUBLISH = """
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local lines = {}
for n = 3, #ARGV, 3 do
  local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*',
    'text', ARGV[n], 'at', ARGV[n + 1], 'cursor', ARGV[n + 2])
  lines[#lines + 1] = {id = id, text = ARGV[n], at = ARGV[n + 1]}
end
redis.call('PUBLISH', ARGV[1], cjson.encode({after = newest[1] and newest[1][1] or '0', lines = lines}))
"""
_PUBLISH_SHA = hashlib.sha1(_PUBLISH.encode(), usedforsecurity=False).hexdigest()


class Tailers:
    """The tailers of this worker. Servers without viewers have none, and without any of them there is no thread."""

    def __init__(self, runtime: ServerRuntime) -> None:
        self._runtime = runtime
        self._lock = threading.Lock()
        # The ids of servers whose tailer runs or is being started.
        self._wanted: set[int] = set()
        self._tailers: list[Tailer] = []
        self._is_running = False
        self._has_news = threading.Event()
        self._masks_renewed_at = self._keys_renewed_at = 0.0

    def ensure(self, server_id: int) -> None:
        """Start the tailer of `server_id` unless one runs in this or another worker of this host."""
        with self._lock:
            if server_id in self._wanted:
                return
            self._wanted.add(server_id)
        # In a thread of its own: the first lines may take a while, for which those of other servers must not wait.
        threading.Thread(target=self._start, args=[server_id], name=f"tail-{server_id}", daemon=True).start()

    def _start(self, server_id: int) -> None:
        tailer = None
        try:
            tailer = start(server_id, runtime=self._runtime, on_news=self._has_news.set)
        except (redis.RedisError, DatabaseError, RuntimeFault) as error:
            # Viewers notice that there is no tailer and request it again.
            logger.warning("reading the log of server %s failed: %s", server_id, error)
        finally:
            connections.close_all()
            with self._lock:
                if tailer is None:
                    self._wanted.discard(server_id)
                else:
                    self._tailers.append(tailer)
                is_first = tailer is not None and not self._is_running
                self._is_running |= is_first
        if is_first:
            threading.Thread(target=self._run, name="tailers", daemon=True).start()

    def _run(self) -> None:
        try:
            while self._read_all():
                self._has_news.wait(_READ_EVERY)
                self._has_news.clear()
                time.sleep(_PAUSE_BETWEEN_MESSAGES)
        except Exception as error:
            # Redis or the database is away. Without the database nobody knows which passwords to mask.
            logger.warning("reading the logs of servers failed: %s", error)
            with self._lock:
                abandoned, self._tailers, self._is_running = self._tailers, [], False
                self._wanted.difference_update(tailer.server_id for tailer in abandoned)
            for tailer in abandoned:
                tailer.follower.close()
        finally:
            connections.close_all()

    def _read_all(self) -> bool:
        """Publish what is new in all logs; return False when there is none left to read."""
        with self._lock:
            tailers = list(self._tailers)
            self._is_running = bool(tailers)
        if not tailers:
            return False
        now = time.monotonic()
        if now - self._keys_renewed_at >= _RENEW_KEYS_EVERY:
            self._keys_renewed_at = now
            tailers = self._end_unseen(tailers)
        if now - self._masks_renewed_at >= _RENEW_MASKS_EVERY:
            self._masks_renewed_at = now
            renew_masks(tailers)
        batches = []
        for tailer in tailers:
            try:
                batches.append((tailer.server_id, tailer.shown(tailer.follower.read())))
            except Exception:
                # One log must not keep the others from being read.
                logger.exception("reading the log of server %s failed", tailer.server_id)
                self._end(tailer)
        publish(batches)
        return True

    def _end_unseen(self, tailers: Sequence[Tailer]) -> list[Tailer]:
        """End the tailers without viewers; renew the keys of the others, and return these."""
        watched = client().mget([keys.server_log_watched(tailer.server_id) for tailer in tailers])
        seen = [
            each for each, key in zip(tailers, cast("list[bytes | None]", watched), strict=True) if key is not None
        ]
        pipe = client().pipeline(transaction=False)
        for tailer in tailers:
            # Also while it is viewed: a worker that is killed leaves no stream behind.
            pipe.expire(keys.server_log(tailer.server_id), KEPT_AFTER_SECONDS)
        for tailer in seen:
            pipe.expire(keys.server_log_tailer(tailer.server_id), WATCH_SECONDS)
        pipe.execute()
        for tailer in tailers:
            if tailer not in seen:
                self._end(tailer)
        return seen

    def _end(self, tailer: Tailer) -> None:
        tailer.follower.close()
        client().delete(keys.server_log_tailer(tailer.server_id))
        with self._lock:
            self._tailers.remove(tailer)
            self._wanted.discard(tailer.server_id)


class Tailer:
    """What one log says from now on, and what of it may be shown."""

    # Set once the newest lines are published, after which it follows.
    follower: Follower

    def __init__(self, server_id: int) -> None:
        self.server_id = server_id
        self.mask = Masker()
        # The stored passwords that the mask is made of.
        self.sealed: list[str] | None = None
        self._budget = _Budget(_LINES_A_SECOND)

    def shown(self, lines: list[LogLine]) -> list[LogLine]:
        """The newest lines, as many as may be shown now, with a note of how many were left out."""
        allowed = self._budget.take(len(lines)) if lines else 0
        left_out = len(lines) - allowed
        if left_out:
            note = f"… {left_out} lines not shown; download the log to see them."
            lines = [LogLine(text=note, at=lines[0].at, cursor=lines[left_out - 1].cursor), *lines[left_out:]]
        return self.masked(lines)

    def masked(self, lines: Iterable[LogLine]) -> list[LogLine]:
        """The lines without passwords, and cut where they are too long."""
        return [LogLine(text=self.mask(line.text)[:_LONGEST_LINE], at=line.at, cursor=line.cursor) for line in lines]


def start(server_id: int, *, runtime: ServerRuntime, on_news: Callable[[], None]) -> Tailer | None:
    """Publish the newest lines, unless viewers have them; return a tailer that goes on after them.

    None if another worker has one. Raises RedisError, DatabaseError and RuntimeFault.
    """
    # The key is a lock with an expiry: another worker of this host may have started the same tailer.
    if not client().set(keys.server_log_tailer(server_id), "1", nx=True, ex=WATCH_SECONDS):
        return None
    try:
        client().script_load(_PUBLISH)
        tailer = Tailer(server_id)
        renew_masks([tailer])
        cursor = _last_cursor(server_id)
        if cursor is None:
            lines = runtime.tail(server_id, lines=FIRST_LINES)
            publish([(server_id, tailer.masked(lines))])
            cursor = lines[-1].cursor if lines else None
        tailer.follower = runtime.follow(server_id, cursor=cursor, on_news=on_news)
    except BaseException:
        client().delete(keys.server_log_tailer(server_id))
        raise
    return tailer


def _last_cursor(server_id: int) -> str | None:
    """The cursor of the last published line, if its stream still exists."""
    newest = client().xrevrange(keys.server_log(server_id), count=1)
    if not newest:
        return None
    return cast("dict[bytes, bytes]", newest[0][1]).get(b"cursor", b"").decode() or None


def renew_masks(tailers: Sequence[Tailer]) -> None:
    """Have the tailers mask the present passwords: a new one is stored before the game is started with it."""
    rows = Server.objects.filter(pk__in=[tailer.server_id for tailer in tailers])
    stored = {
        pk: sealed for pk, *sealed in rows.values_list("pk", "sealed_rcon_password", "applied_sealed_rcon_password")
    }
    # Decrypting would be most of what a log costs that nobody writes to.
    changed = {
        tailer.server_id: tailer for tailer in tailers if stored.get(tailer.server_id, tailer.sealed) != tailer.sealed
    }
    for server in rows.filter(pk__in=changed) if changed else ():
        changed[server.pk].mask, changed[server.pk].sealed = server.masker, stored[server.pk]


def publish(batches: Iterable[tuple[int, Sequence[LogLine]]]) -> None:
    """Store and publish lines of servers, in one message to Redis. Raises RedisError."""
    pipe = client().pipeline(transaction=False)
    for server_id, lines in batches:
        if lines:
            values = [
                value for line in lines for value in (line.text, line.at.isoformat() if line.at else "", line.cursor)
            ]
            channel = keys.server_log_channel(server_id)
            pipe.evalsha(_PUBLISH_SHA, 1, keys.server_log(server_id), channel, STREAM_LINES, *values)
    if len(pipe):
        pipe.execute()


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
