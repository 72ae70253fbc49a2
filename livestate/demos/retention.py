"""Removes the demos of a host that are too old, and bounds what all of them take of its disk.

Nothing that is being recorded is removed. A recording that would grow beyond the bounds is ended.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings

from left4me.core.files import room
from livestate.demos import files, recorder
from livestate.demos.models import Demo
from servers.hosts import this_host
from servers.models import Server
from servers.sourcetv import application, options
from servers.sourcetv.options import GB, Limits

logger = logging.getLogger(__name__)

# The kernel ends a game that writes a file of 2 GiB.
LARGEST: Final = 1_500_000_000
# On a disk that is nearly full, younger demos are kept.
_YOUNG: Final = timedelta(days=1)
_STOP: Final = "tv_stoprecord"


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What is removed, and the recordings that are ended."""

    removed: list[Demo]
    ended: list[Demo]


def enforce(host_name: str, *, now: datetime, with_days: bool) -> int:
    """Remove what exceeds the limits; returns how many demos. `with_days`: those that are too old as well."""
    servers = {each.pk: each for each in Server.objects.on_host(host_name).filter(demos__isnull=False).distinct()}
    demos = list(Demo.objects.filter(server__in=servers))
    limits = {pk: options.limits_of(server) for pk, server in servers.items()}
    missing = settings.LEFT4ME_DISK_LOW_GB * GB - room.free(this_host.root())
    chosen = choose(demos, limits, now=now, with_days=with_days, missing=missing)
    _remove(chosen.removed)
    for demo in chosen.ended:
        logger.warning("The recording of server %s is ended: demos take too much of the disk", demo.server_id)
        application.tell(servers[demo.server_id], _STOP)
    recorder.note(servers[pk] for pk in {demo.server_id for demo in chosen.removed})
    return len(chosen.removed)


def choose(
    demos: Iterable[Demo], limits: Mapping[int, Limits], *, now: datetime, with_days: bool, missing: int
) -> Chosen:
    """Choose among the demos of a host, whose disk lacks `missing` bytes of what should be free."""
    left = sorted(demos, key=lambda demo: demo.ended_at)
    removed: list[Demo] = []

    def drop(demo: Demo) -> None:
        removed.append(demo)
        left.remove(demo)

    of_server: dict[int, list[Demo]] = defaultdict(list)
    for demo in list(left):
        days = limits[demo.server_id].days
        if with_days and days and not demo.is_recording and demo.ended_at < now - timedelta(days=days):
            drop(demo)
        else:
            of_server[demo.server_id].append(demo)
    full = set()
    for server_id, own in of_server.items():
        if (most := limits[server_id].size) and not _shrink(own, most, drop):
            full.add(server_id)
    is_full = not _shrink(list(left), settings.LEFT4ME_DEMOS_GB * GB, drop)
    missing -= sum(demo.size for demo in removed)
    for demo in [each for each in left if not each.is_recording and each.ended_at < now - _YOUNG]:
        if missing > 0:
            drop(demo)
            missing -= demo.size
    is_full = is_full or missing > 0
    recorded = [demo for demo in left if demo.is_recording]
    ended = [demo for demo in recorded if is_full or demo.server_id in full or demo.size > LARGEST]
    return Chosen(removed=removed, ended=ended)


def _shrink(demos: list[Demo], most: int, drop: Callable[[Demo], None]) -> bool:
    """Drop the oldest of these demos until they take at most `most` bytes; returns whether they do."""
    total = sum(demo.size for demo in demos)
    for demo in demos:
        if total <= most:
            break
        if not demo.is_recording:
            drop(demo)
            total -= demo.size
    return total <= most


def _remove(demos: Iterable[Demo]) -> None:
    of_server: dict[int, dict[str, int]] = defaultdict(dict)
    for demo in demos:
        of_server[demo.server_id][demo.path] = demo.changed
    for server_id, chosen in of_server.items():
        try:
            files.remove(server_id, chosen)
        except OSError as fault:
            logger.warning("old demos of server %s could not be removed: %s", server_id, fault)
