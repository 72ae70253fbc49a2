"""Orders to the simulated game, and to games that ignore them."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from livestate.orders import commands
from livestate.orders.commands import Result
from livestate.status import parse_status
from livestate.tests.answers import Person, status_text
from servers.gamehost import rcon
from servers.simulated import harness

ZOEY = Person(101)


def no_pause(seconds: float) -> None:
    return None


@pytest.fixture
def game(tmp_path: Path):
    with harness.running(tmp_path, args=["+sim_players", "3"]) as sim:
        sim.ask = functools.partial(rcon.execute, "127.0.0.1", sim.port, sim.password, timeout=20)
        yield sim


def people(game) -> list[int]:
    return [int(player.steamid64) for player in parse_status(game.ask("status")).people if player.steamid64]


def test_a_kicked_player_is_gone_and_that_is_seen(game):
    target = people(game)[0]
    game.ask("sim_players 2")
    target = people(game)[0]
    assert commands.kick(game.ask, target).result is Result.DONE
    assert target not in people(game)


def test_who_is_not_on_cannot_be_kicked(game):
    assert commands.kick(game.ask, ZOEY.steam_id_64).result is Result.FAILED


def test_a_command_that_the_game_does_not_know_has_failed(game):
    outcome = commands.command(game.ask, "no_such_thing 1")
    assert outcome.result is Result.FAILED and commands.is_unknown(outcome.output)
    assert commands.command(game.ask, "status").result is Result.DONE
    assert not commands.is_unknown('executed\nUnknown command "typo"\n'), "a file was executed that holds a typo"


def test_a_map_change_is_waited_for_and_seen(game):
    assert commands.change_map(game.ask, "c2m1_highway").result is Result.DONE
    assert parse_status(game.ask("status")).map == "c2m1_highway"


def test_difficulty_and_mode_are_read_back(game):
    assert commands.set_difficulty(game.ask, "Impossible").result is Result.DONE
    assert commands.set_mode(game.ask, "versus").result is Result.DONE
    assert '"z_difficulty" = "Impossible"' in game.ask("z_difficulty")


def test_what_is_said_arrives_as_one_harmless_line(game):
    outcome = commands.say(game.ask, 'hello "all"; quit\n\u202e')
    assert outcome.result is Result.DONE
    assert "Console: hello 'all', quit" in outcome.output


def test_a_command_gives_what_the_game_prints(game):
    outcome = commands.command(game.ask, "version")
    assert outcome.result is Result.DONE
    assert "Protocol version" in outcome.output


class Stubborn:
    """A game that answers and changes nothing."""

    def __init__(self, *answers: str, status: str = status_text([ZOEY])) -> None:
        self.heard: list[str] = []
        self._status = status

    def __call__(self, command: str) -> rcon.Answer:
        self.heard.append(command)
        return rcon.Answer(self._status if command == "status" else "")


@pytest.mark.parametrize(
    "act",
    [
        lambda ask: commands.kick(ask, ZOEY.steam_id_64, pause=no_pause),
        lambda ask: commands.change_map(ask, "c2m1_highway", pause=no_pause),
        lambda ask: commands.set_difficulty(ask, "Hard"),
        lambda ask: commands.set_mode(ask, "versus"),
    ],
)
def test_what_cannot_be_seen_afterwards_is_uncertain(act):
    assert act(Stubborn()).result is Result.UNCERTAIN


def test_an_answer_that_was_cut_off_proves_nobodys_absence():
    game = Stubborn(status=status_text([ZOEY]))

    def ask(command: str) -> rcon.Answer:
        answer = game(command)
        return rcon.Answer(status_text()[:-10]) if command == "status" and len(game.heard) > 1 else answer

    assert commands.kick(ask, ZOEY.steam_id_64, pause=no_pause).result is Result.UNCERTAIN
