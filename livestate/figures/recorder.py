"""Records the figures of a host and of its running servers: answers to polls, measured usage, and the host's load."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime, timedelta

import redis
from django.conf import settings

from livestate.figures.collector import Collector
from livestate.models import FigureBlock, HostFigures, ServerFigures
from livestate.poller import Answered
from servers.hosts import load, this_host
from servers.models import Host
from servers.state import usage
from servers.state.usage import Usage

logger = logging.getLogger(__name__)


class FigureRecorder:
    """Records the figures of one host, from one thread at a time."""

    def __init__(self, host: Host) -> None:
        # One poll that is late or unanswered leaves no hole in a chart.
        gap = timedelta(seconds=2 * settings.LEFT4ME_POLL_SECONDS)
        self._host_id = host.pk
        self._servers = Collector(ServerFigures, gap=gap)
        self._hosts = Collector(HostFigures, gap=gap)
        self._meter = load.Meter(this_host.root())
        self._measured_at: datetime | None = None

    def measure(self, server_ids: Iterable[int], answers: Iterable[Answered], *, now: datetime) -> None:
        """Add what is known about the running servers of the host, and the load of the host, at `now`."""
        samples: dict[int, dict[str, float | None]] = {server_id: {} for server_id in server_ids}
        for answer in answers:
            samples[answer.server_id].update(players=answer.status.people_seen, ping=answer.seconds)
        # Polls come more often than steps; usage and load are read once for each step.
        # The clock may have been set back since.
        if self._measured_at is None or not 0 <= (now - self._measured_at).total_seconds() < FigureBlock.FINE:
            self._measured_at = now
            for server_id, used in _usage(list(samples)).items():
                samples[server_id].update(cpu=used.cpu_percent, memory=used.memory_bytes, disk=used.disk_bytes)
            self._hosts.add({self._host_id: self._load()}, now=now)
        self._servers.add(samples, now=now)

    def write(self) -> int:
        """Write the steps that have waited longest; return the number of rows. Call it in a transaction."""
        return self._servers.write() + self._hosts.write()

    def forget(self) -> None:
        """Drop what was not written: the rows may have changed, or were not written."""
        self._servers.forget()
        self._hosts.forget()

    def _load(self) -> dict[str, float | None]:
        try:
            return asdict(self._meter.measure())
        except OSError as error:
            logger.warning("The load of this host could not be measured: %s", error)
            return {}


def _usage(server_ids: list[int]) -> Mapping[int, Usage]:
    try:
        return usage.of(server_ids)
    except redis.RedisError as error:
        logger.warning("The usage of servers could not be read: %s", error)
        return {}
