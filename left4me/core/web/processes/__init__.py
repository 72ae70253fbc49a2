"""The web in several processes: one Python process uses no more than one core.

A parent loads the application, forks the processes that serve it, and passes each connection that it accepts to the
process with the fewest open ones. If the processes accepted for themselves, chance would decide which of them holds
the connections that browsers and proxies keep open.
"""

from __future__ import annotations

import os
from typing import Final

# More than these serve so many people that their operator chooses a number.
_MOST: Final = 4
_GIGABYTE: Final = 10**9
# Threads in which each process opens streams and looks after them.
_STREAM_THREADS: Final = 4


def usual(runtime: str) -> int:
    """How many suit an installation with this runtime of games.

    With systemd one for each core and each GB of memory, from 1 to 4. Else one: a checkout or a container has few
    visitors, and the memory of games counts more there.
    """
    if runtime != "systemd":
        return 1
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, min(_MOST, len(os.sched_getaffinity(0)), memory // _GIGABYTE))


def most_database_connections(threads: int) -> int:
    """How many connections to PostgreSQL one of several processes keeps: one for each thread of pages and streams."""
    return threads + _STREAM_THREADS
