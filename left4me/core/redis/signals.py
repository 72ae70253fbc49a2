"""Signals: the names of what changed, such as `server:12`, for pages that are open.

A signal says that something changed and not what: a page that shows it asks for its part again, with its own rights.
`left4me/core/web/sse/signals.py` decides who is told. Delivery is best effort, as in `pubsub`.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import redis
from django.db import transaction
from redis.exceptions import NoScriptError

from left4me.core.redis import keys, pubsub
from left4me.core.redis.client import client

log = logging.getLogger(__name__)

# Checked by a page that was away for a while: with more signals since then, it asks for everything again.
KEPT = 1000

# The kinds of signals. The number after the kind is the id of the row.
# All six with the id of a server.
SERVER, PLAYERS, USAGE, ORDER = "server", "players", "usage", "order"
MATCH, DEMOS = "match", "demos"
JOB, PROGRESS = "job", "progress"
BLUEPRINT, OVERLAY, HOST, CHANNEL = "blueprint", "overlay", "host", "channel"
LOAD = "load"  # of a host
RIGHTS = "rights"  # of a user, whose open streams are checked at once

# Stored and published in one step, so that the order of both is the same; each message names the one before it.
_SEND = """
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local id = redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[2], '*', 'signal', ARGV[3])
redis.call('PUBLISH', ARGV[1], (last[1] and last[1][1] or '0') .. ' ' .. id .. ' ' .. ARGV[3])
"""


_SEND_SHA = hashlib.sha1(_SEND.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class First:
    """What is done before signals are sent, in the same round trip to Redis."""

    publish: Sequence[tuple[str, str]] = ()  # channels and messages
    count: Sequence[tuple[str, str]] = ()  # keys and fields of hashes that grow by one


_NOTHING = First()


def send(names: Iterable[str], *, also: Collection[int] = (), first: First = _NOTHING) -> None:
    """Tell open pages that these things changed; `also` names users who may no longer see them, or soon will not."""
    if pubsub.is_away() or not (wanted := sorted(set(names))):
        return
    message = json.dumps({"names": wanted, "also": sorted(also)} if also else {"names": wanted}, separators=(",", ":"))
    signal = (_SEND_SHA, 1, keys.SIGNALS, keys.SIGNALS_CHANNEL, KEPT, message)
    pipe = client().pipeline(transaction=False)
    for key, field in first.count:
        pipe.hincrby(key, field, 1)
    for channel, text in first.publish:
        pipe.publish(channel, text)
    pipe.evalsha(*signal)
    try:
        answers = pipe.execute(raise_on_error=False)
        if isinstance(answers[-1], NoScriptError):
            client().script_load(_SEND)
            answers[-1] = client().evalsha(*signal)
    except redis.ResponseError as error:
        answers = [error]
    except redis.RedisError as error:
        pubsub.note_outage(error)
        return
    for answer in answers:
        if isinstance(answer, redis.ResponseError):
            # The access list or the key's type does not allow it: that must not look like an outage.
            log.warning("Could not send signals: %s", answer)


def send_after_commit(*names: str, also: Collection[int] = (), first: First = _NOTHING) -> None:
    """`send`, once the rows can be read by others."""
    transaction.on_commit(functools.partial(send, names, also=also, first=first), robust=True)
