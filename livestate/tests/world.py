"""A made-up world of servers on a fast clock that keeps its own record of who came and went.

Its statuses are made without text, since a simulated day has more than a million of them.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from left4me.core.steam_ids import BASE as STEAM_ID_64_BASE
from livestate.models import PlayerSession
from livestate.status import Player, Status

POLL = timedelta(seconds=5)
LONGEST_SILENCE = timedelta(seconds=130)
CAMPAIGN = ["c1m1_hotel", "c1m2_streets", "c1m3_mall", "c1m4_atrium"]


@dataclass
class Visit:
    account: int
    joined_at: datetime
    ping: int
    left_at: datetime | None = None


@dataclass
class SimulatedServer:
    server_id: int
    rng: random.Random
    accounts: range
    on: dict[int, Visit] = field(default_factory=dict)
    visits: list[Visit] = field(default_factory=list)
    chapter: int = 0
    silent_until: datetime | None = None
    silences: list[tuple[datetime, datetime]] = field(default_factory=list)

    def live(self, since: datetime, until: datetime) -> None:
        """Advance the time: players leave and join, the campaign continues, the server is silent for a while."""
        rng = self.rng
        for account, visit in list(self.on.items()):
            if rng.random() < 1 / 300:
                visit.left_at = _between(rng, since, until)
                del self.on[account]
        if len(self.on) < 8 and rng.random() < 1 / 60:
            account = rng.choice(self.accounts)
            if account not in self.on:
                earlier = [visit.left_at for visit in self.visits if visit.account == account and visit.left_at]
                visit = Visit(account, max([_between(rng, since, until), *earlier[-1:]]), rng.randint(20, 120))
                self.on[account] = visit
                self.visits.append(visit)
        if rng.random() < 1 / 300:
            self.chapter = (self.chapter + 1) % len(CAMPAIGN)
        if self.silent_until is None and rng.random() < 1 / 1_000:
            self.silent_until = until + timedelta(seconds=rng.choice([8, 25, 50, 120]))
            self.silences.append((since, self.silent_until))
        elif self.silent_until is not None and until > self.silent_until:
            self.silent_until = None

    def unseen_before(self, moment: datetime) -> timedelta:
        """The longest time without a poll before this moment: the interval of polls, or a silence."""
        for began, ended in self.silences:
            if began <= moment <= ended + POLL:
                return moment - began + POLL
        return POLL

    def status(self, now: datetime) -> Status:
        players = tuple(
            Player(
                userid=slot + 1,
                slot=slot,
                name=f"player {visit.account}",
                bot=False,
                uniqueid=f"[U:1:{visit.account}]",
                steamid64=str(STEAM_ID_64_BASE + visit.account),
                connected_seconds=int((now - visit.joined_at).total_seconds()),
                ping=visit.ping,
                loss=0,
                state="active",
                rate=30_000,
                addr="192.0.2.1:27005",
            )
            for slot, visit in enumerate(self.on.values(), start=1)
        )
        return Status(
            complete=True, end_marker=True, hostname="simulated", version_raw=None, version=None, build=None,
            secure=True, udp_local=None, udp_public=None, os=None, map=CAMPAIGN[self.chapter], map_pos=None,
            humans=len(players), bots=0, max=8, hibernating=not players, reservation=None, players=players,
            trailing_log_lines=(),
        )  # fmt: skip


def make_world(server_ids: list[int], *, seed: int) -> list[SimulatedServer]:
    rng = random.Random(seed)
    return [
        SimulatedServer(server_id, random.Random(rng.random()), range(1 + number * 40, 41 + number * 40))
        for number, server_id in enumerate(server_ids)
    ]


def differences(server: SimulatedServer, rows: list[PlayerSession]) -> list[str]:
    """What the history says otherwise than the world: within a second for a join, within one poll for a leave,
    or within the silence in which it happened."""
    unmatched = {(row.steam_id_64, round(row.joined_at.timestamp())): row for row in rows}
    faults = [] if len(unmatched) == len(rows) else ["a stay is there twice"]
    for visit in server.visits:
        keys = [
            (STEAM_ID_64_BASE + visit.account, round(visit.joined_at.timestamp()) + offset) for offset in (0, 1, -1)
        ]
        row = next((unmatched.pop(key) for key in keys if key in unmatched), None)
        if row is None:
            if visit.left_at is None or visit.left_at - visit.joined_at > LONGEST_SILENCE:
                faults.append(f"lost: {visit}")
        elif (row.left_at is None) != (visit.left_at is None):
            faults.append(f"still open or already closed: {visit}")
        elif visit.left_at and not timedelta() <= visit.left_at - row.left_at <= server.unseen_before(visit.left_at):
            faults.append(f"left at {row.left_at}: {visit}")
    return faults + [f"invented: {row}" for row in unmatched.values()]


def _between(rng: random.Random, since: datetime, until: datetime) -> datetime:
    return since + (until - since) * rng.random()
