"""The installation of bench/pages with what the other pages show: its last server has been busy for a month."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from bench import pages

if TYPE_CHECKING:
    from servers.models import Server

_BLUEPRINTS_OF_AN_OVERLAY = 50
_DAYS = 30
_SNAPSHOTS_A_DAY = 200
_SESSIONS_A_DAY = 100
_PLAYERS = 400
_LINES_OF_A_JOB = 200
_MAPS = ("c1m1_hotel", "c2m1_highway", "c5m1_waterfront", "c8m1_apartment")


@dataclass(frozen=True)
class World:
    """What the paths and the requests need; `server` is the busy one."""

    owner: int
    session: str
    server: int
    blueprint: int
    overlay: int
    job: int

    def paths(self) -> dict[str, str]:
        return {
            pages.LIST: "/servers",
            "dashboard": "/",
            "server page": f"/servers/{self.server}",
            "server page, its moving part": f"/servers/{self.server}/state?tab=overview",
            "history of 30 days": f"/servers/{self.server}/history?span=30d",
            "blueprint": f"/blueprints/{self.blueprint}",
            "overlay": f"/overlays/{self.overlay}",
            "job": f"/jobs/{self.job}",
            "activity": "/jobs",
        }


def furnish() -> World:
    from django.utils import timezone

    from accounts.models import User
    from overlays.models import Overlay
    from servers.models import Blueprint, BlueprintOverlay, Server

    owner, session, pk = pages.furnish()
    server, now = Server.objects.get(pk=pk), timezone.now()
    overlay = Overlay.objects.create(name="maps", path="bench-maps", owner=User.objects.get(pk=owner))
    BlueprintOverlay.objects.bulk_create(
        BlueprintOverlay(blueprint=blueprint, overlay=overlay, position=9)
        for blueprint in Blueprint.objects.order_by("-pk")[:_BLUEPRINTS_OF_AN_OVERLAY]
    )
    _make_busy(server, now)
    return World(
        owner=owner,
        session=session,
        server=pk,
        blueprint=server.blueprint_id,
        overlay=overlay.pk,
        job=_job(server, now),
    )


def _make_busy(server: Server, now: datetime) -> None:
    """Give the server a month in which people came and went all the time, and let it run now."""
    from livestate import totals
    from livestate.models import PlayerSession, Snapshot, SteamProfile
    from servers.models import Server, StateChange

    chance, begin = random.Random(1), now - timedelta(days=_DAYS)
    server.actual_state, server.started_at = Server.State.RUNNING, begin
    server.desired_state = Server.Desired.RUNNING
    server.save()
    lasts = timedelta(days=1) / _SNAPSHOTS_A_DAY
    Snapshot.objects.bulk_create(
        Snapshot(
            server=server, started_at=begin + number * lasts, last_seen_at=begin + (number + 1) * lasts, max_players=8,
            players=chance.randrange(9), bots=0, map=_MAPS[number // 50 % len(_MAPS)], hibernating=False,
        )
        for number in range(_DAYS * _SNAPSHOTS_A_DAY)
    )  # fmt: skip
    accounts = [76_561_198_000_000_000 + number for number in range(_PLAYERS)]
    SteamProfile.objects.bulk_create(
        SteamProfile(steam_id_64=account, persona_name=f"player {account % 1000}", fetched_at=now)
        for account in accounts
    )
    sessions = []
    for number in range(_DAYS * _SESSIONS_A_DAY):
        joined = begin + number * timedelta(days=1) / _SESSIONS_A_DAY
        left = min(joined + timedelta(minutes=chance.randrange(1, 90)), now)
        sessions.append(
            PlayerSession(
                server=server, steam_id_64=chance.choice(accounts), joined_at=joined, left_at=left,
                name_at_join=f"player {number}", min_ping=20, max_ping=90,
            )
        )  # fmt: skip
    for number, account in enumerate(accounts[:6]):
        sessions.append(
            PlayerSession(server=server, steam_id_64=account, joined_at=now - timedelta(minutes=9 * number + 5))
        )
    PlayerSession.objects.bulk_create(sessions)
    totals.write(PlayerSession.objects.all())
    StateChange.objects.bulk_create(
        StateChange(server=server, state=state, at=begin + timedelta(hours=6 * number))
        for number in range(4 * _DAYS)
        for state in ("stopped", "running")
    )


def _job(server: Server, now: datetime) -> int:
    """A start that has succeeded, after others; returns its id."""
    from left4me.jobs.models import Job, JobLog

    jobs = [
        Job.objects.create(
            operation="start", resource=server.resource, host=server.host.name, user=server.owner, state="succeeded",
            started_at=now, finished_at=now, last_seq=_LINES_OF_A_JOB,
        )
        for _ in range(20)
    ]  # fmt: skip
    JobLog.objects.bulk_create(
        JobLog(job=jobs[-1], seq=seq, stream="stdout", line=f"Mounted layer {seq} of the game", created_at=now)
        for seq in range(1, _LINES_OF_A_JOB + 1)
    )
    return jobs[-1].pk
