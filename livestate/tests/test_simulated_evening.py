"""A short evening on a simulated game, swept as in production, compared with the game's own record of visits."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from livestate import sweep, tasks
from livestate.models import PlayerSession, Snapshot
from servers.gamehost import rcon
from servers.models import Server
from servers.simulated import harness
from servers.tests.factories import make_server

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


@pytest.fixture
def game(tmp_path: Path):
    # With another seed, one who leaves may be the one who joins next.
    args = ["-maxplayers", "8", "+sim_seed", "evening", "+sim_record", str(tmp_path / "record")]
    with harness.running(tmp_path, args=args) as sim:
        yield sim
    sweep.close()


def tell(game: harness.Sim, command: str) -> None:
    rcon.execute("127.0.0.1", game.port, game.password, command, timeout=20)


def sweep_until(condition, *, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while True:
        tasks.poll()
        if condition():
            return
        assert time.monotonic() < deadline, "the history never showed it"
        time.sleep(0.3)


def record(path: Path, event: str) -> dict[int, tuple[str, datetime]]:
    """Names and times by Steam id, from the game's record."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {
        int(row["steam_id_64"]): (row["name"], datetime.fromtimestamp(row["real_at"], UTC))
        for row in rows
        if row["event"] == event
    }


def test_the_history_of_an_evening_is_what_happened(cast, game, tmp_path):
    server = make_server(cast.owner, port=game.port, rcon_password=game.password, actual_state=Server.State.RUNNING)
    sweep_until(lambda: Snapshot.objects.exists())
    tell(game, "sim_players 2")
    sweep_until(lambda: PlayerSession.objects.open().count() == 2)
    game.send("changelevel c1m2_streets")
    sweep_until(lambda: Snapshot.objects.filter(map="c1m2_streets", players=2).exists())
    tell(game, "sim_players 1")
    sweep_until(lambda: PlayerSession.objects.open().count() == 1)
    tell(game, "sim_players 3")
    sweep_until(lambda: PlayerSession.objects.open().count() == 3)
    joins, leaves = record(tmp_path / "record", "join"), record(tmp_path / "record", "leave")
    stays = {stay.steam_id_64: stay for stay in PlayerSession.objects.filter(server=server)}
    assert len(stays) == PlayerSession.objects.count() == len(joins) == 4
    for steam_id, (name, joined_at) in joins.items():
        assert stays[steam_id].name_at_join == name
        assert abs((stays[steam_id].joined_at - joined_at).total_seconds()) < 2
        assert (stays[steam_id].left_at is None) == (steam_id not in leaves)
    for steam_id, (_, left_at) in leaves.items():
        assert -5 < (stays[steam_id].left_at - left_at).total_seconds() < 1
