"""A finale and a vote on a simulated game: told by its script, read by a sweep, followed by a change of the map."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from left4me.core.redis import hosts
from livestate import sweep, tasks
from livestate.models import Order, Snapshot
from livestate.orders import execution
from livestate.rotation import actions, start_files, votes
from livestate.rotation import tasks as rotation_tasks
from livestate.rotation.models import GameEvent, MapState
from servers.hosts import this_host
from servers.models import Server
from servers.simulated import harness
from servers.tests.factories import make_server

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


@dataclass
class Storage:
    """Where the worker finds what the game wrote: a game of a test has no layers."""

    upper: Path

    def upper_of(self, server_id: int) -> Path:
        return self.upper


@pytest.fixture
def game(tmp_path, monkeypatch):
    script = {str(start_files.SCRIPT.relative_to("left4dead2")): start_files.script().encode()}
    args = ["-maxplayers", "8", "+map", "c1m4_atrium"]
    with harness.running(tmp_path, args=args, files=script) as sim:
        monkeypatch.setattr(this_host, "storage", lambda: Storage(sim.tree))
        # The broker would hand the orders to a worker of the host.
        monkeypatch.setattr(hosts, "send", lambda *args, **options: True)
        yield sim
    sweep.close()


def until(condition, *, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        tasks.poll()
        rotation_tasks.follow()
        for order in Order.objects.filter(state="queued"):
            execution.carry_out(order.pk, now=timezone.now())
        time.sleep(0.2)


def test_after_a_finale_the_game_plays_the_next_campaign(cast, game):
    server = make_server(cast.owner, port=game.port, rcon_password=game.password, actual_state=Server.State.RUNNING)
    actions.set_rotation(of=server, by=cast.owner, codes=["campaign:c1m1_hotel", "campaign:c5m1_waterfront"])
    game.rcon("sim_players 2")
    until(lambda: Snapshot.objects.filter(map="c1m4_atrium", players=2).exists())
    game.rcon("sim_vote pass change_difficulty #L4D_DifficultyHard")
    game.rcon("sim_speed 10")
    until(lambda: GameEvent.objects.filter(name="vote_passed").exists())
    game.rcon("sim_speed 1")
    [vote] = votes.of_server(server, {}, now=timezone.now())
    assert (vote.title, vote.subject, vote.outcome, vote.yes, vote.no) == (
        "Change the difficulty",
        "Hard",
        "passed",
        2,
        0,
    )
    game.rcon("sim_finish")
    until(lambda: MapState.objects.filter(due_at__isnull=False).exists())
    until(lambda: "Next: The Parish in 20 s." in game.text)
    MapState.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    until(lambda: Snapshot.objects.filter(map="c5m1_waterfront").exists())
    until(lambda: MapState.objects.get().target is None)
    assert [note["code"] for note in MapState.objects.get().notes] == ["changed"]
    assert "2 humans" in game.rcon("status")
