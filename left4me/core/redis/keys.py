"""Names of every key, channel and queue in Redis. The access list of other hosts is made from the same functions.

Standard library only: the deployment programs use it without the application's packages. Each function also takes
"*", which makes the pattern of an access list.
"""

from __future__ import annotations

from typing import Final

# --- the worker and its queue ---

PULSE: Final = "left4me:pulse"
# What the last check of the database found; absent when nothing.
DATABASE_DAMAGE: Final = "left4me:database-damage"
# The rows and bytes of the tables, as JSON.
TABLE_SIZES: Final = "left4me:table-sizes"
# Written by Celery's transport, kombu, under names that it does not let one choose.
KOMBU_BINDINGS: Final = "_kombu.binding"


def host_queue(host: str) -> str:
    """The Celery queue of a host."""
    return f"host.{host}"


def unacknowledged(host: str) -> dict[str, str]:
    """Celery's options for the keys of messages that a host has taken and not finished: one set per host, so that
    no host can read or restore another's."""
    return {
        "unacked_key": f"unacked.{host}",
        "unacked_index_key": f"unacked_index.{host}",
        "unacked_mutex_key": f"unacked_mutex.{host}",
    }


# --- jobs ---


def job_channel(job_id: int | str) -> str:
    """Channel of a job's lines, progress and end."""
    return f"left4me:job:{job_id}"


def cancel_channel(host: str) -> str:
    """Channel of the ids of jobs that the workers of a host shall stop, and of games to end without a job, as JSON."""
    return f"left4me:cancel:{host}"


def ended_jobs(host: str) -> str:
    """Hash that counts the ended jobs of a host by "state operation"."""
    return f"left4me:jobs-ended:{host}"


# --- servers ---


def host_answer(token: str) -> str:
    """List with a host's one answer to a question of the web."""
    return f"left4me:answer:{token}"


def server_usage(server_id: int | str) -> str:
    """What a server used at the last measurement, as JSON."""
    return f"left4me:usage:{server_id}"


def server_log(server_id: int | str) -> str:
    """Stream of a server's newest log lines."""
    return f"left4me:log:{server_id}"


def server_log_channel(server_id: int | str) -> str:
    """Channel of a server's log lines as they are written."""
    return f"left4me:log-lines:{server_id}"


def server_log_watched(server_id: int | str) -> str:
    """Exists while somebody views a server's log."""
    return f"left4me:log-watched:{server_id}"


def server_log_tailer(server_id: int | str) -> str:
    """Exists while a worker publishes a server's log."""
    return f"left4me:log-tailer:{server_id}"


# --- the web ---

# Keeps the streams' one connection subscribed, and so alive, while there is no viewer.
IDLE_CHANNEL: Final = "left4me:hub"
# Stream of the newest signals: the names of what changed.
SIGNALS: Final = "left4me:signals"
# Channel of the signals as they are sent.
SIGNALS_CHANNEL: Final = "left4me:signals-live"
# Django's cache: no prefix, version 1.
CACHE: Final = ":1:"
# In Django's cache, before the id of a server: the commands of its game. The only part that workers of hosts write.
CONSOLE_COMMANDS: Final = "livestate:commands:"


def rate_limit(limit: str, subject: str) -> str:
    """Counter of one window of a rate limit."""
    return f"left4me:count:{limit}:{subject}"
