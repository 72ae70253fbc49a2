"""Factories for snapshots, sessions and profiles, with the rows that a sweep would write."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from accounts.models import User
from left4me.core.steam_ids import BASE as STEAM_ID_64_BASE
from livestate import totals
from livestate.figures.collector import Collector, Sample
from livestate.models import HostFigures, PlayerNote, PlayerSession, ServerFigures, Snapshot, SteamProfile
from servers.models import Host, Server


def make_snapshot(
    server: Server, started_at: datetime, last_seen_at: datetime | None = None, **fields: Any
) -> Snapshot:
    given = {"players": 0, "max_players": 8, "bots": 0, "map": "c2m3_coaster", "hibernating": False, **fields}
    return Snapshot.objects.create(
        server=server, started_at=started_at, last_seen_at=last_seen_at or started_at, **given
    )


@transaction.atomic
def make_session(
    server: Server, account: int, joined_at: datetime, left_at: datetime | None = None, **fields: Any
) -> PlayerSession:
    given = {"name_at_join": f"player {account}", "min_ping": 30, "max_ping": 60, **fields}
    session = PlayerSession.objects.create(
        server=server, steam_id_64=STEAM_ID_64_BASE + account, joined_at=joined_at, left_at=left_at, **given
    )
    totals.refresh({(server.pk, session.steam_id_64)})
    return session


def make_profile(account: int, fetched_at: datetime, **fields: Any) -> SteamProfile:
    given = {"persona_name": f"persona {account}", **fields}
    return SteamProfile.objects.create(steam_id_64=STEAM_ID_64_BASE + account, fetched_at=fetched_at, **given)


def record_figures(owner: Server | Host, start: datetime, samples: Sequence[Sample]) -> None:
    """Record one sample for each step from `start` on, and write them."""
    model = ServerFigures if isinstance(owner, Server) else HostFigures
    collector = Collector(model, gap=timedelta(seconds=10))
    for step, sample in enumerate(samples):
        collector.add({owner.pk: sample}, now=start + timedelta(seconds=step * ServerFigures.FINE))
    collector.add({}, now=start + timedelta(seconds=len(samples) * ServerFigures.FINE))
    while collector.write():
        pass


def make_note(account: int, owner: User, **fields: Any) -> PlayerNote:
    given = {"text": f"note about {account}", "author": owner, **fields}
    return PlayerNote.objects.create(steam_id_64=STEAM_ID_64_BASE + account, owner=owner, **given)
