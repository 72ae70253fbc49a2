"""The parser on answers that the simulated game sends over RCON."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from livestate.status import NotStatus, parse_status
from servers.simulated import harness

CORPUS = Path(__file__).parent / "status_corpus"
SAMPLES = sorted(CORPUS.glob("*.txt"))


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[harness.Sim]:
    with harness.running(tmp_path_factory.mktemp("sim"), args=["-maxplayers", "32"]) as sim:
        yield sim


@pytest.fixture
def asked(sim: harness.Sim) -> Iterator[harness.Sim]:
    yield sim
    sim.rcon('sim_status_file; sim_status_shape ""; sim_names plain; sim_players 0')


@pytest.mark.parametrize("sample", SAMPLES, ids=[path.stem for path in SAMPLES])
def test_a_sample_comes_through_rcon_as_it_stands_in_its_file(asked, sample):
    asked.rcon(f"sim_chunk 1000; sim_status_file {sample}")
    assert asked.rcon("status") == sample.read_bytes().decode(errors="replace")


def test_an_empty_server_parses_as_complete_and_hibernating(asked):
    status = parse_status(asked.rcon("status"))
    assert status.complete
    assert status.hibernating
    assert (status.humans, status.max, status.map, status.players) == (0, 32, "c1m1_hotel", ())


@pytest.mark.parametrize(("names", "count"), [("plain", 24), ("long", 32), ("hostile", 17)])
def test_everybody_is_read_whatever_they_are_called(asked, names, count):
    asked.rcon(f"sim_names {names}; sim_players {count}")
    status = parse_status(asked.rcon("status"))
    assert status.complete
    people = [player for player in status.players if not player.bot]
    assert len(people) == status.humans == count
    assert [player.slot for player in people] == list(range(1, count + 1))
    assert all(player.steamid64 and player.addr and player.ping for player in people)


def test_a_player_who_loads_is_read_beside_those_who_play(asked):
    asked.rcon("sim_players 2; sim_joining Loading")
    status = parse_status(asked.rcon("status"))
    assert (status.complete, status.humans, len(status.people)) == (True, 3, 3)
    assert [(p.name, p.uniqueid) for p in status.people if p.is_connecting] == [("Loading", "STEAM_ID_PENDING")]
    asked.rcon("sim_join Loading")
    assert not any(player.is_connecting for player in parse_status(asked.rcon("status")).people)


@pytest.mark.parametrize("shape", ["no_end", "truncated", "header_only"])
def test_a_cut_answer_is_never_taken_for_a_whole_one(asked, shape):
    asked.rcon(f"sim_players 3; sim_status_shape {shape}")
    assert not parse_status(asked.rcon("status")).complete


@pytest.mark.parametrize("shape", ["crlf", "log_line", "no_adr"])
def test_a_deformed_but_whole_answer_is_read(asked, shape):
    asked.rcon(f"sim_players 3; sim_status_shape {shape}")
    status = parse_status(asked.rcon("status"))
    assert status.complete
    assert sum(not player.bot for player in status.players) == 3


@pytest.mark.parametrize("shape", ["empty", "unknown"])
def test_no_answer_is_no_status(asked, shape):
    asked.rcon(f"sim_status_shape {shape}")
    with pytest.raises(NotStatus):
        parse_status(asked.rcon("status"))
