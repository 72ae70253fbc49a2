"""Server queries, read by an independent client and on the wire."""

from __future__ import annotations

import contextlib
import socket
import struct

import a2s
import pytest

INFO = b"\xff\xff\xff\xffTSource Engine Query\0"


def address(sim) -> tuple[str, int]:
    return ("127.0.0.1", sim.port)


def ask(sim, data: bytes, *, timeout: float = 10.0) -> bytes:
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(timeout)
        client.sendto(data, address(sim))
        return client.recv(4096)


def test_python_a2s_reads_info_players_and_rules(start):
    sim = start("-maxplayers", "8", "+sim_players", "3", server_cfg='hostname "Кампания für alle"')
    info = a2s.info(address(sim), timeout=10)
    assert info.server_name == "Кампания für alle"
    assert (info.map_name, info.folder, info.app_id, info.port) == ("c1m1_hotel", "left4dead2", 550, sim.port)
    assert (info.player_count, info.max_players, info.bot_count) == (3, 8, 0)
    assert (info.server_type, info.platform, info.password_protected, info.vac_enabled) == ("d", "l", False, True)
    assert info.keywords == "coop,secure"
    assert {player.name for player in a2s.players(address(sim), timeout=10)} == {
        line.split('"')[1] for line in sim.rcon("status").splitlines() if "STEAM_" in line
    }
    rules = a2s.rules(address(sim), timeout=10)
    assert rules["mp_gamemode"] == "coop"
    assert "rcon_password" not in rules


def test_a_password_shows_as_set_and_never_as_text(start):
    sim = start(server_cfg="sv_password hush")
    assert a2s.info(address(sim), timeout=10).password_protected
    assert a2s.rules(address(sim), timeout=10)["sv_password"] == "1"


def test_an_answer_longer_than_a_datagram_arrives_in_pieces(start):
    sim = start("+sim_a2s_split", "300")
    assert a2s.rules(address(sim), timeout=10)["sv_gravity"] == "800"


def test_the_first_query_gets_a_challenge_and_a_forged_one_another(shared):
    first = ask(shared, INFO)
    assert first[:5] == b"\xff\xff\xff\xffA"
    assert len(first) == 9
    assert ask(shared, INFO + b"xxxx")[4:5] == b"A"


def test_without_challenge_the_first_query_is_answered(start):
    assert ask(start("+sim_a2s_challenge", "0"), INFO)[4:6] == b"I\x11"


def test_an_empty_server_says_so_in_its_keywords(shared):
    assert "empty" in a2s.info(address(shared), timeout=10).keywords


@pytest.mark.parametrize("cvar", ["sim_a2s_loopback", "sim_a2s_hibernating"])
def test_a_cvar_makes_it_as_silent_as_the_real_game(start, cvar):
    sim = start(f"+{cvar}", "0")
    with pytest.raises(TimeoutError):
        ask(sim, INFO, timeout=0.5)
    assert "reached" in sim.rcon("echo reached")


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xff\xff\xff", INFO[:10], b"\xff\xff\xff\xffZ", struct.pack("<i", -2) * 3]
)
def test_other_datagrams_get_no_answer_and_do_no_harm(shared, data):
    with pytest.raises(TimeoutError):
        ask(shared, data, timeout=0.2)
    assert "reached" in shared.rcon("echo reached")


def test_nothing_is_answered_while_a_map_loads(start):
    sim = start(env={"SIM_MAP_LOAD_SECONDS": "1"})
    sim.send("map c1m2_streets")
    sim.wait_for_line("Mapchange to c1m2_streets")
    with contextlib.suppress(TimeoutError):
        ask(sim, INFO, timeout=0.3)
        raise AssertionError("answered while loading")
    sim.wait_for_line('Started map "c1m2_streets"')
    assert a2s.info(address(sim), timeout=10).map_name == "c1m2_streets"
