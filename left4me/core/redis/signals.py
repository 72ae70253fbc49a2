"""Signals: the names of what changed, such as `server:12`, for pages that are open.

A signal says that something changed and not what: a page that shows it asks for its part again, with its own rights.
`left4me/core/web/sse/signals.py` decides who is told. Delivery is best effort, as in `pubsub`.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Collection, Iterable

import redis
from django.db import transaction
from redis.commands.core import Script

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


def send(names: Iterable[str], *, also: Collection[int] = ()) -> None:
    """Tell open pages that these things changed; `also` names users who may no longer see them, or soon will not."""
    if pubsub.is_away() or not (wanted := sorted(set(names))):
        return
    message = json.dumps({"names": wanted, "also": sorted(also)} if also else {"names": wanted}, separators=(",", ":"))
    try:
        _script()(keys=[keys.SIGNALS], args=[keys.SIGNALS_CHANNEL, KEPT, message])
    except redis.ResponseError as error:
        # The access list does not allow it: that must not look like an outage.
        log.warning("Could not send signals: %s", error)
    except redis.RedisError as error:
        pubsub.note_outage(error)


def send_after_commit(*names: str, also: Collection[int] = ()) -> None:
    """`send`, once the rows can be read by others."""
    transaction.on_commit(functools.partial(send, names, also=also), robust=True)


def _script() -> Script:
    return client().register_script(_SEND)
