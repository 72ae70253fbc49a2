"""The metrics and how they are read: by a fixed number of queries, regardless of the number of servers and jobs.

Live streams and processes are counted in memory that all processes of the web share. Everything else happens in other
programs (worker, beat, other hosts) and is read from the database or Redis. Labels name hosts, states, operations,
tables and folders, never servers or users.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import redis
from django.db.models import Count, Min, Q, Sum
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from left4me.alerts.models import Channel, Delivery, Incident
from left4me.core.redis import keys
from left4me.core.redis.client import client
from left4me.core.version import VERSION
from left4me.core.web.processes.counts import figures as web
from left4me.jobs.models import Job
from left4me.site import pulse, sizes
from livestate.models import PlayerSession, Sweep
from servers.models import Host, Server
from servers.state import floods
from workshop.models import WorkshopItem


@dataclass
class _RedisFigures:
    """The values read from Redis; empty if it did not answer."""

    is_up: bool = False
    pulse_age: float | None = None
    queues: dict[str, int] = field(default_factory=dict)
    ended: dict[tuple[str, str, str], int] = field(default_factory=dict)
    tables: list[sizes.TableSize] = field(default_factory=list)


class Figures(Collector):
    """All metrics at the time `now`. `streams` counts the live streams of all processes of the web."""

    def __init__(self, *, now: datetime, streams: int) -> None:
        self._now = now
        self._streams = streams

    def collect(self) -> Iterator[Metric]:
        hosts = list(Host.objects.select_related("game_check"))
        redis_figures = _ask_redis([host.name for host in hosts])
        yield from self._application(redis_figures)
        yield from self._jobs(hosts, redis_figures)
        yield from self._hosts(hosts)
        yield from self._sweeps(hosts)
        yield from self._servers(hosts)
        yield from self._downloads()
        yield from self._alerts()

    def _application(self, redis_figures: _RedisFigures) -> Iterator[Metric]:
        yield _gauge(
            "left4me_build_info",
            "Always 1; the label is the release of the web",
            ["version"],
            [([VERSION], 1)],
        )
        yield _one("left4me_stream_clients", "Live streams (logs, jobs) open in the web", self._streams)
        yield _one("left4me_web_processes", "Processes that serve pages and streams", web.running)
        replaced = CounterMetricFamily(
            "left4me_web_processes_replaced", "Processes of the web that ended by themselves and were replaced"
        )
        replaced.add_metric([], float(web.replacements))
        yield replaced
        yield _one("left4me_redis_up", "1 if Redis responds", redis_figures.is_up)
        if redis_figures.pulse_age is not None:
            yield _one(
                "left4me_pulse_age_seconds",
                "Seconds since a worker ran the last task of beat",
                redis_figures.pulse_age,
            )

        rows = [([table.name], table.rows) for table in redis_figures.tables]
        yield _gauge("left4me_table_rows", "Rows of each table of the database", ["table"], rows)
        taken = [([table.name], table.size) for table in redis_figures.tables if table.size is not None]
        yield _gauge("left4me_table_bytes", "Bytes of each table with its indexes", ["table"], taken)

    def _jobs(self, hosts: list[Host], redis_figures: _RedisFigures) -> Iterator[Metric]:
        rows = Job.objects.live().order_by().values_list("state", "operation", "host")
        live = list(rows.annotate(Count("pk"), Min("created_at")))
        by_kind: dict[tuple[str, ...], int] = {}
        waiting = {host.name: (0, self._now) for host in hosts}
        for state, operation, host, number, oldest in live:
            by_kind[state, operation] = by_kind.get((state, operation), 0) + number
            if state == Job.State.QUEUED:
                before = waiting.get(host, (0, self._now))
                waiting[host] = (before[0] + number, min(before[1], oldest))
        yield _gauge("left4me_jobs", "Queued and running jobs", ["state", "operation"], by_kind.items())
        yield _gauge(
            "left4me_jobs_queued", "Queued jobs per host", ["host"], [([h], n) for h, (n, _) in waiting.items()]
        )
        yield _gauge(
            "left4me_jobs_oldest_queued_seconds",
            "Age of the oldest one in seconds",
            ["host"],
            [([host], self._age(oldest)) for host, (_, oldest) in waiting.items()],
        )
        yield _gauge(
            "left4me_queue_messages",
            "Messages that a host's worker has not taken yet",
            ["host"],
            [([host], number) for host, number in redis_figures.queues.items()],
        )
        ended = CounterMetricFamily("left4me_jobs_ended", "Finished jobs", labels=["host", "state", "operation"])
        for labels, number in sorted(redis_figures.ended.items()):
            ended.add_metric(labels, number)
        yield ended

    def _hosts(self, hosts: list[Host]) -> Iterator[Metric]:
        def of_hosts(name: str, words: str, values: Iterable[tuple[Host, Any]]) -> Metric:
            return _gauge(name, words, ["host"], [([host.name], value) for host, value in values if value is not None])

        info = [([h.name, h.version, str(h.facts.get("runtime", "")), str(h.facts.get("game", ""))], 1) for h in hosts]
        yield _gauge(
            "left4me_host_info", "Always 1; the labels describe the host", ["host", "version", "runtime", "game"], info
        )
        up = [(host, not host.is_down(self._now)) for host in hosts]
        yield of_hosts("left4me_host_up", "1 if the host is online", up)
        seen = [(host, self._age(host.last_seen_at) if host.last_seen_at else None) for host in hosts]
        yield of_hosts("left4me_host_seen_seconds", "Seconds since the host last reported", seen)
        disks = {host.pk: host.facts.get("disk", {}) for host in hosts}
        for name, key in (("free", "free"), ("size", "total")):
            values = [(host, disks[host.pk].get(key)) for host in hosts]
            yield of_hosts(f"left4me_host_disk_{name}_bytes", f"Bytes of the host's data disk: {name}", values)
        folders = [([host.name, name], size) for host in hosts for name, size in host.folder_bytes.items()]
        yield _gauge(
            "left4me_host_folder_bytes", "Bytes of each folder of the host's data", ["host", "folder"], folders
        )
        firewalls = [floods.of(host, now=self._now) for host in hosts]
        loaded = [(each.host, each.is_loaded) for each in firewalls if each.is_known]
        yield of_hosts("left4me_host_firewall_loaded", "1 if left4me's firewall rules are loaded on the host", loaded)
        dropped = CounterMetricFamily(
            "left4me_host_dropped_packets",
            "Packets to games that the host's firewall dropped",
            labels=["host", "reason"],
        )
        for each in firewalls:
            for drop in each.dropped:
                dropped.add_metric([each.host.name, drop.reason], drop.total)
        yield dropped
        looks = [(host, host.facts.get("look_seconds")) for host in hosts]
        yield of_hosts(
            "left4me_status_sweep_seconds", "Duration of the host's last status check of its servers", looks
        )

        available = [(host, host.update_is_wanted if host.game_version else None) for host in hosts]
        yield of_hosts("left4me_game_update_available", "1 if Steam has a newer build of the game", available)
        checks = [(host, check) for host in hosts if (check := host.last_check) is not None]
        ages = [(host, self._age(check.checked_at) if check.checked_at else None) for host, check in checks]
        yield of_hosts("left4me_game_check_age_seconds", "Seconds since the newest build was looked up", ages)
        failures = [(host, check.failures) for host, check in checks]
        yield of_hosts("left4me_game_check_failures", "Failed look-ups since the last one that succeeded", failures)

    def _sweeps(self, hosts: list[Host]) -> Iterator[Metric]:
        names = {host.pk: host.name for host in hosts}
        sweeps = [sweep for sweep in Sweep.objects.all() if sweep.host_id in names]
        for name, words, value in (
            ("left4me_poll_sweep_seconds", "Duration of the last poll of a host's servers", lambda s: s.seconds),
            ("left4me_poll_sweep_age_seconds", "Seconds since it started", lambda s: self._age(s.started_at)),
            ("left4me_poll_answered", "Servers that answered", lambda s: s.answered),
            ("left4me_poll_silent", "Running servers that did not answer", lambda s: s.silent),
        ):
            yield _gauge(name, words, ["host"], [([names[sweep.host_id]], value(sweep)) for sweep in sweeps])

    def _servers(self, hosts: list[Host]) -> Iterator[Metric]:
        # All states of every host, so that a metric falls to 0 instead of disappearing.
        states = {(host.name, str(state)): 0 for host in hosts for state in Server.State}
        rows = Server.objects.order_by().values_list("host__name", "actual_state")
        states.update({(host, state): number for host, state, number in rows.annotate(Count("pk"))})
        yield _gauge("left4me_servers", "Servers by observed state", ["host", "state"], states.items())
        totals = Server.objects.aggregate(
            wanted=Count("pk", filter=Q(desired_state=Server.Desired.RUNNING)),
            hung=Count("pk", filter=Q(hung_since__isnull=False)),
        )
        yield _one("left4me_servers_wanted", "Servers that should run", totals["wanted"])
        yield _one("left4me_servers_hung", "Unresponsive servers", totals["hung"])
        players = {host.name: 0 for host in hosts}
        stays = PlayerSession.objects.open().order_by().values_list("server__host__name")
        players.update(dict(stays.annotate(Count("pk"))))
        yield _gauge("left4me_players", "Players online", ["host"], [([host], n) for host, n in players.items()])

    def _downloads(self) -> Iterator[Metric]:
        under_way = WorkshopItem.objects.downloading(self._now).aggregate(
            number=Count("pk"), done=Sum("progress_bytes"), size=Sum("file_size")
        )
        yield _one("left4me_downloads", "Workshop items being downloaded", under_way["number"])
        yield _one("left4me_download_done_bytes", "Bytes downloaded of them", under_way["done"] or 0)
        yield _one("left4me_download_size_bytes", "Total bytes of them", under_way["size"] or 0)

    def _alerts(self) -> Iterator[Metric]:
        waiting = Delivery.objects.waiting().aggregate(number=Count("pk"), oldest=Min("created_at"))
        yield _one("left4me_alerts_waiting", "Alerts not delivered yet", waiting["number"])
        oldest = self._age(waiting["oldest"]) if waiting["oldest"] else 0
        yield _one("left4me_alerts_oldest_waiting_seconds", "Age of the oldest one in seconds", oldest)
        failing = Channel.objects.enabled().filter(failures__gt=0).count()
        yield _one("left4me_alert_channels_failing", "Alert channels whose last delivery failed", failing)
        incidents = {"server": 0, "host": 0, "job": 0}
        for key, number in Incident.objects.filter(closed_at=None).values_list("subject").annotate(Count("pk")):
            kind = key.partition(":")[0]
            incidents[kind] = incidents.get(kind, 0) + number
        yield _gauge("left4me_incidents", "Open incidents", ["subject"], [([k], n) for k, n in incidents.items()])

    def _age(self, moment: datetime) -> float:
        return max(0.0, (self._now - moment).total_seconds())


def _one(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(name, words, value=float(value))


def _gauge(name: str, words: str, labels: list[str], values: Iterable[tuple[Iterable[str], float]]) -> Metric:
    family = GaugeMetricFamily(name, words, labels=labels)
    for label_values, value in values:
        family.add_metric(list(label_values), float(value))
    return family


def _ask_redis(hosts: list[str]) -> _RedisFigures:
    try:
        with client().pipeline(transaction=False) as pipe:
            for host in hosts:
                pipe.llen(keys.host_queue(host))
            for host in hosts:
                pipe.hgetall(keys.ended_jobs(host))
            answers = pipe.execute()
        depths, ended = answers[: len(hosts)], answers[len(hosts) :]
        return _RedisFigures(
            is_up=True,
            pulse_age=pulse.read().age,
            queues=dict(zip(hosts, depths, strict=True)),
            ended=dict(_counted(zip(hosts, ended, strict=True))),
            tables=sizes.last(),
        )
    except redis.RedisError:
        return _RedisFigures()


def _counted(ended: Iterable[tuple[str, dict[bytes, bytes]]]) -> Iterator[tuple[tuple[str, str, str], int]]:
    for host, kinds in ended:
        for kind, number in kinds.items():
            state, _, operation = kind.decode().partition(" ")
            yield (host, state, operation), int(number)
