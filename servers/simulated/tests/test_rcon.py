"""RCON on the wire: what clients get, and what they do not."""

from __future__ import annotations

import socket
import struct

import pytest

from servers.simulated import harness
from servers.simulated.harness import AUTH, AUTH_RESPONSE, EXEC, PASSWORD, RESPONSE, Wire, packet


def hung_up(wire: Wire) -> bool:
    try:
        return wire.socket.recv(1) == b""
    except ConnectionResetError:
        return True


def silent(wire: Wire, *, seconds: float) -> bool:
    wire.socket.settimeout(seconds)
    try:
        wire.socket.recv(1)
    except TimeoutError:
        return True
    finally:
        wire.socket.settimeout(10)
    return False


def test_a_login_is_answered_by_two_packets_in_one_segment(shared):
    with Wire(shared.port) as wire:
        wire.send(77, AUTH, PASSWORD)
        expected = packet(77, RESPONSE, "") + packet(77, AUTH_RESPONSE, "")
        assert wire.socket.recv(4096) == expected


def test_a_wrong_password_is_answered_with_id_minus_one(start):
    with Wire(start().port) as wire:
        wire.send(77, AUTH, "wrong")
        assert wire.receive() == (77, RESPONSE, b"")
        assert wire.receive() == (-1, AUTH_RESPONSE, b"")


def test_quirks_send_the_login_packets_apart_or_only_the_second(start):
    apart = start(env={"SIM_QUIRKS": "apart"})
    with Wire(apart.port) as wire:
        wire.send(5, AUTH, PASSWORD)
        assert wire.socket.recv(4096) == packet(5, RESPONSE, "")
        assert wire.socket.recv(4096) == packet(5, AUTH_RESPONSE, "")
    single = start(name="b", env={"SIM_QUIRKS": "single"})
    with Wire(single.port) as wire:
        wire.send(5, AUTH, PASSWORD)
        assert wire.receive() == (5, AUTH_RESPONSE, b"")


def test_a_command_before_the_login_gets_the_refusal_and_is_not_run(shared):
    with Wire(shared.port) as wire:
        wire.send(9, EXEC, "hostname hacked")
        assert wire.receive() == (-1, AUTH_RESPONSE, b"")
    assert "hacked" not in shared.rcon("hostname")


def test_answers_come_in_order_under_their_own_ids(shared):
    with Wire(shared.port) as wire:
        wire.login(PASSWORD)
        wire.socket.sendall(packet(10, EXEC, "echo one") + packet(11, EXEC, "echo two") + packet(12, EXEC, ""))
        assert [wire.receive() for _ in range(3)] == [
            (10, RESPONSE, b"one \n"),
            (11, RESPONSE, b"two \n"),
            (12, RESPONSE, b""),
        ]


def test_packets_may_arrive_in_any_pieces(shared):
    with Wire(shared.port) as wire:
        for byte in packet(1, AUTH, PASSWORD) + packet(2, EXEC, "echo slow"):
            wire.socket.sendall(bytes([byte]))
        assert wire.receive() == (1, RESPONSE, b"")
        assert wire.receive() == (1, AUTH_RESPONSE, b"")
        assert wire.receive() == (2, RESPONSE, b"slow \n")


def test_a_long_answer_is_split_below_four_kilobytes_under_one_id(shared):
    with Wire(shared.port) as wire:
        wire.login(PASSWORD)
        wire.send(20, EXEC, "cvarlist")
        wire.send(21, EXEC, "")
        parts = []
        while (received := wire.receive())[0] == 20:
            parts.append(received[2])
        assert received == (21, RESPONSE, b"")
    assert len(parts) > 3
    assert all(len(part) <= 3900 for part in parts)
    assert b"".join(parts).decode().startswith("cvar list\n")


def test_the_split_falls_anywhere_also_inside_a_character(start):
    sim = start("+sim_chunk", "7")
    with Wire(sim.port) as wire:
        wire.login(PASSWORD)
        wire.send(20, EXEC, "echo ééééééé")
        wire.send(21, EXEC, "")
        parts = []
        while (received := wire.receive())[0] == 20:
            parts.append(received[2])
    assert len(parts) == 3
    assert b"".join(parts).decode() == "ééééééé \n"
    with pytest.raises(UnicodeDecodeError):
        parts[0].decode()


def test_an_empty_response_value_is_mirrored_and_followed_by_one_more(shared):
    with Wire(shared.port) as wire:
        wire.login(PASSWORD)
        wire.send(30, EXEC, "echo x")
        wire.send(31, RESPONSE, "")
        assert wire.receive() == (30, RESPONSE, b"x \n")
        assert wire.receive() == (31, RESPONSE, b"")
        assert wire.receive() == (31, RESPONSE, b"\x00\x01\x00\x00")


def test_quirks_leave_out_the_mirror_and_answers_without_text(start):
    sim = start(env={"SIM_QUIRKS": "no_mirror,no_empty"})
    with Wire(sim.port) as wire:
        wire.login(PASSWORD)
        wire.send(30, RESPONSE, "")
        wire.send(31, EXEC, "sv_tags quiet")
        wire.send(32, EXEC, "")
        assert wire.receive() == (32, RESPONSE, b"")


@pytest.mark.parametrize("command", ["map c1m2_streets", "changelevel c1m2_streets"])
def test_a_map_change_answers_nothing_then_the_written_password_cuts_the_connection(start, command):
    sim = start(env={"SIM_MAP_LOAD_SECONDS": "1"})
    with Wire(sim.port) as wire:
        wire.login(PASSWORD)
        wire.send(40, EXEC, command)
        wire.send(41, EXEC, "")
        assert silent(wire, seconds=0.5)
        sim.wait_for_line('Started map "c1m2_streets"')
        assert hung_up(wire)
    assert "map     : c1m2_streets" in sim.rcon("status")


def test_a_password_set_once_keeps_connections_over_a_map_change_but_swallows_what_was_asked(start):
    files = {"cfg/autoexec.cfg": b'rcon_password "once"', "cfg/server.cfg": b""}
    sim = start(files=files, wait=False)
    sim.wait_for_line("Started map")
    with Wire(sim.port) as wire:
        wire.login("once")
        wire.send(40, EXEC, "changelevel c1m2_streets")
        wire.send(41, EXEC, "echo lost")
        sim.wait_for_line('Started map "c1m2_streets"')
        assert silent(wire, seconds=0.3)
        wire.send(42, EXEC, "echo after")
        assert wire.receive() == (42, RESPONSE, b"after \n")


def test_a_login_during_a_map_load_is_answered_after_it(start):
    sim = start(env={"SIM_MAP_LOAD_SECONDS": "3"})
    sim.send("map c1m2_streets")
    with Wire(sim.port) as wire:
        wire.login(PASSWORD)
    # What the game printed comes through a pipe, a moment later; an early answer would be seconds before it.
    sim.wait_for_line('Started map "c1m2_streets"', timeout=1.5)


def test_a_failed_map_change_is_an_ordinary_answer(shared):
    assert shared.rcon("map c9m9_nowhere") == "map load failed: c9m9_nowhere not found or invalid\n"


def test_writing_the_password_closes_all_connections_but_the_writers(start):
    sim = start()
    with Wire(sim.port) as writer, Wire(sim.port) as other, Wire(sim.port) as stranger:
        writer.login(PASSWORD)
        other.login(PASSWORD)
        writer.send(50, EXEC, f'rcon_password "{PASSWORD}"')
        assert writer.receive() == (50, RESPONSE, b"")
        assert hung_up(other)
        stranger.login(PASSWORD)


def test_with_logging_on_the_answer_ends_with_the_servers_own_log_line(start):
    sim = start(server_cfg="log on")
    answer = sim.rcon("status")
    tail = answer.split("#end\n")[1]
    assert tail.startswith("L ")
    assert tail.endswith(': command "status"\n')
    sim.rcon("sv_rcon_log 0")
    assert sim.rcon("status").endswith("#end\n")
    assert list((sim.tree / "left4dead2" / "logs").iterdir())


def test_five_wrong_passwords_ban_the_address_until_it_is_removed(start):
    sim = start()
    for _ in range(4):
        with Wire(sim.port) as wire, pytest.raises(PermissionError):
            wire.login("wrong")
    assert "reached" in sim.rcon("echo reached")
    with Wire(sim.port) as wire, pytest.raises((PermissionError, ConnectionResetError)):
        wire.login("wrong")
    sim.wait_for_line("Banning 127.0.0.1 for rcon hacking attempts")
    with Wire(sim.port) as wire:
        assert hung_up(wire)
    sim.process.stdin.write(b"removeip 127.0.0.1\n")
    sim.process.stdin.flush()
    sim.wait_for_line("removed for 127.0.0.1")
    assert "reached" in sim.rcon("echo reached")


def test_a_whitelisted_address_is_never_banned(start):
    sim = start(server_cfg="sv_rcon_whitelist_address 127.0.0.1")
    for _ in range(8):
        with Wire(sim.port) as wire, pytest.raises((PermissionError, ConnectionResetError)):
            wire.login("wrong")
    assert "reached" in sim.rcon("echo reached")


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", struct.pack("<i", 1025)])
def test_an_oversize_packet_bans_the_address(start, data):
    sim = start()
    with socket.create_connection(("127.0.0.1", sim.port), 10) as probe:
        probe.sendall(data)
        assert probe.recv(1) == b""
    sim.wait_for_line("Banning 127.0.0.1")


def test_a_packet_too_small_to_be_one_only_closes_the_connection(shared):
    with socket.create_connection(("127.0.0.1", shared.port), 10) as probe:
        probe.sendall(struct.pack("<i", 8) + b"x" * 8)
        assert probe.recv(1) == b""
    assert "reached" in shared.rcon("echo reached")


def test_a_packet_without_the_second_nul_is_understood(shared):
    with Wire(shared.port) as wire:
        wire.login(PASSWORD)
        wire.socket.sendall(struct.pack("<iii", 9, 4, EXEC) + b"\0")
        assert wire.receive() == (4, RESPONSE, b"")


def test_a_slow_frame_delays_the_answer_and_not_the_login(start):
    sim = start("+sim_rcon_delay", "0.6")
    with Wire(sim.port) as wire:
        wire.login(PASSWORD)
        wire.send(60, EXEC, "echo late")
        assert silent(wire, seconds=0.2)
        assert wire.receive() == (60, RESPONSE, b"late \n")


def test_a_client_that_never_reads_does_not_hold_up_the_others(start):
    sim = start()
    with Wire(sim.port) as lazy:
        lazy.login(PASSWORD)
        lazy.socket.setblocking(False)
        for number in range(400):
            try:
                lazy.send(number, EXEC, "cvarlist")
            except OSError:
                break
        assert "reached" in sim.rcon("echo reached")


def test_quit_answers_nothing_and_ends(start):
    sim = start()
    with Wire(sim.port) as wire:
        wire.login(PASSWORD)
        wire.send(70, EXEC, "quit")
        assert hung_up(wire)
    assert sim.process.wait(harness.END_SECONDS) == 0
