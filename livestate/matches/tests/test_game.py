"""A match in the simulated game, from loading to its score."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from livestate.matches import game, gamelog, scores
from livestate.matches.tests import factories
from livestate.status import parse_status
from servers.gamehost import rcon
from servers.simulated import harness

SECONDS = 20.0


@pytest.fixture
def sim(tmp_path: Path):
    files = dict(factories.PACK)
    with harness.running(tmp_path, args=["+sim_players", "2", "+sim_speed", "5"], files=files) as running:
        running.ask = functools.partial(rcon.execute, "127.0.0.1", running.port, running.password, timeout=20)
        yield running


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def looks(sim) -> game.Facts:
    """The game does not answer while a map loads."""
    for _attempt in range(20):
        try:
            return game.look(sim.ask)
        except rcon.RconError:
            time.sleep(0.2)
    raise AssertionError("the game does not answer")


def test_a_match_is_loaded_played_and_unloaded(sim):
    upper, begin = sim.tree, datetime.now(UTC) - timedelta(minutes=1)
    assert not game.look(sim.ask).is_loaded
    game.write_log(sim.ask)
    _lines, position = gamelog.new_lines(upper, {})
    assert not game.load(sim.ask, "arena", "c2m1_highway").problem
    assert looks(sim).has("Arena v1.0") and not looks(sim).has("1v1 Arena")
    wait_until(lambda: looks(sim).is_getting_ready is True and "c2m1_highway" in sim.ask("status"))
    assert game.write_scores(sim.ask)

    sim.ask("sim_ready")
    lines, _position = gamelog.new_lines(upper, position)
    ready = {event.steam_id_64 for event in gamelog.read(lines) if event.kind is gamelog.Kind.READY}
    assert ready == {int(player.steamid64 or 0) for player in parse_status(sim.ask("status")).people}
    wait_until(lambda: looks(sim).is_getting_ready is False)

    sim.ask("sim_round 310 -5")
    (played,) = scores.find(upper, since=begin)
    assert (played["map"], played["config"], played["a"], played["b"]) == ("c2m1_highway", "Arena v1.0", 310, -5)
    assert {int(account) for account in played["team_a"] + played["team_b"]} == ready

    assert not game.unload(sim.ask).problem
    assert not looks(sim).is_loaded and not looks(sim).has("Arena v1.0")


def test_the_words_of_the_pack_explain_a_refusal(sim):
    assert "Config gone not found" in str(game.load(sim.ask, "gone", "").problem)
    assert "Map nowhere not found" in str(game.load(sim.ask, "arena", "nowhere").problem)


def test_another_mode_is_loaded_in_place_of_the_first(sim):
    game.load(sim.ask, "arena", "")
    assert not game.load(sim.ask, "arena1v1", "").problem
    assert looks(sim).has("1v1 Arena")


def test_a_game_without_the_pack_is_said_to_lack_it():
    def ask(command: str) -> rcon.Answer:
        return rcon.Answer("".join(f'Unknown command "{part.split()[0]}"\n' for part in command.split(";")))

    assert not game.look(ask).is_loaded
    assert "confogl" in str(game.load(ask, "arena", "").problem)
    assert game.write_scores(ask) is False
