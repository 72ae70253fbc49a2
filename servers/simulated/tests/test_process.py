"""The process: how it starts, fails, ends, and what it costs."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import time
from pathlib import Path

import pytest

from servers.simulated import harness

MEGABYTE = 1024 * 1024


def vpk(names: list[str], *, version: int = 1, part: int = 0x7FFF) -> bytes:
    """An archive whose maps directory lists `names`; with `part` their content is in a numbered file beside it."""
    entry = struct.pack("<IHHIIH", 0, 0, part, 0, 0 if part == 0x7FFF else 1, 0xFFFF)
    tree = b"bsp\0maps\0" + b"".join(name.encode() + b"\0" + entry for name in names) + b"\0\0\0"
    return struct.pack("<III", 0x55AA1234, version, len(tree)) + b"\0" * (0 if version == 1 else 16) + tree


def resident_bytes(pid: int) -> int:
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_sigterm_ends_it_cleanly_also_while_a_map_loads(start):
    sim = start()
    sim.process.terminate()
    assert sim.process.wait(harness.END_SECONDS) == 0
    loading = start(name="b", env={"SIM_MAP_LOAD_SECONDS": "600"}, wait=False)
    loading.wait_for_line("Loading map")
    loading.process.terminate()
    assert loading.process.wait(harness.END_SECONDS) == 0


def test_quit_on_the_console_ends_it_cleanly(start):
    sim = start()
    sim.process.stdin.write(b"quit\n")
    sim.process.stdin.flush()
    assert sim.process.wait(harness.END_SECONDS) == 0


def test_a_taken_port_ends_it_with_strictportbind_and_moves_it_without(start):
    first = start()
    second = start(name="b", port=first.port, wait=False)
    second.wait_for_line(f"ERROR: Port {first.port} was unavailable")
    assert second.process.wait(harness.END_SECONDS) != 0
    third = start("-port", str(first.port), name="c", strict=False, wait=False)
    assert f"ports {first.port} SV" not in third.wait_for_line("Network: IP")


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 a zip", vpk(["x"])[:-8], vpk(["x"]).replace(b"\0\0\0", b"abc")])
def test_an_unreadable_archive_in_addons_ends_it_at_start(start, data):
    sim = start(files={"addons/100.vpk": vpk(["good"]), "addons/200.vpk": data}, wait=False)
    sim.wait_for_line('unable to open or parse archive "left4dead2/addons/200.vpk"')
    assert sim.process.wait(harness.END_SECONDS) != 0


def test_a_dangling_link_in_addons_ends_it_at_start(tmp_path):
    addons = tmp_path / "game" / "left4dead2" / "addons"
    addons.mkdir(parents=True)
    (addons / "300.vpk").symlink_to(tmp_path / "gone.vpk")
    with harness.running(tmp_path, wait=False) as sim:
        sim.wait_for_line("300.vpk")
        assert sim.process.wait(harness.END_SECONDS) != 0


@pytest.mark.parametrize("version", [1, 2])
def test_maps_of_addons_can_be_played_in_their_order(start, version):
    sim = start(files={"addons/100.vpk": vpk(["dam_2", "dam_1"], version=version)})
    assert "dam_1" in sim.rcon("maps dam")
    sim.send("map dam_1 versus")
    sim.wait_for_line('Started map "dam_1"')
    assert "map     : dam_1" in sim.rcon("status")
    assert '"versus"' in sim.rcon("mp_gamemode")


def test_an_archive_of_several_files_is_mounted_once_and_a_missing_part_ends_it(start):
    whole = {"addons/big_dir.vpk": vpk(["big_1"], part=0), "addons/big_000.vpk": b"content"}
    assert "big_1" in start(files=whole).rcon("maps big")
    broken = start(name="b", files={"addons/big_dir.vpk": vpk(["big_1"], part=0)}, wait=False)
    broken.wait_for_line('unable to open or parse archive "left4dead2/addons/big_dir.vpk"')
    lone = start(name="c", files={"addons/big_000.vpk": b"content"}, wait=False)
    lone.wait_for_line('unable to open or parse archive "left4dead2/addons/big_000.vpk"')


@pytest.mark.parametrize(
    ("command", "status"),
    [("sim_crash", -signal.SIGSEGV), ("sim_crash ABRT", -signal.SIGABRT), ("sim_crash KILL", -9), ("sim_crash 3", 3)],
)
def test_a_crash_on_demand_has_the_status_asked_for(start, command, status):
    sim = start()
    sim.send(command)
    assert sim.process.wait(harness.END_SECONDS) == status


def test_a_planned_crash_comes_by_itself(start):
    sim = start("+sim_after", "0.3", "sim_crash 7", wait=False)
    assert sim.process.wait(harness.END_SECONDS) == 7


def test_a_hanging_server_lives_accepts_and_never_answers(start):
    sim = start()
    sim.send("sim_hang")
    with harness.Wire(sim.port, timeout=0.5) as wire, pytest.raises(TimeoutError):
        wire.login(sim.password)
    assert sim.process.poll() is None
    sim.process.terminate()
    assert sim.process.wait(harness.END_SECONDS) == -signal.SIGTERM


def test_a_stubborn_server_ends_by_kill_alone(start):
    sim = start("+sim_ignore_term", "1", "+sim_ignore_quit", "1")
    sim.send("quit")
    sim.process.terminate()
    assert "reached" in sim.rcon("echo reached")
    sim.process.kill()
    assert sim.process.wait(harness.END_SECONDS) == -signal.SIGKILL


def test_a_flood_prints_all_its_lines_and_rcon_answers_meanwhile(start):
    sim = start()
    sim.rcon("sim_flood 2000 2")
    assert "reached" in sim.rcon("echo reached")
    sim.wait_for_line("flood line 4000 of 4000")
    assert sum("flood line" in line for line in sim.output) == 4000


def test_condebug_writes_the_console_log(start):
    sim = start("-condebug")
    assert "Started map" in (sim.tree / "left4dead2" / "console.log").read_text()


def test_a_tree_that_cannot_be_written_stops_nothing(start):
    sim = start()
    (sim.tree / "left4dead2" / "cfg" / "banned_user.cfg").mkdir()
    assert "Couldn't write banned_user.cfg" in sim.rcon("writeid")


def test_it_does_not_import_what_lies_in_the_game_tree(start):
    sim = start(files={"../random.py": b"raise SystemExit(99)", "../socket.py": b"raise SystemExit(99)"})
    assert "reached" in sim.rcon("echo reached")


def test_a_busy_server_stays_under_twenty_megabytes(start):
    sim = start("-maxplayers", "32", "+sim_players", "32", env={"SIM_SPEED": "200"})
    for _ in range(20):
        sim.rcon("status; cvarlist")
    assert resident_bytes(sim.process.pid) < 20 * MEGABYTE


def test_an_empty_server_uses_next_to_no_processor(start):
    sim = start()
    before = cpu_seconds(sim.process.pid)
    time.sleep(2)
    assert cpu_seconds(sim.process.pid) - before <= 0.02


@pytest.mark.slow
def test_twenty_servers_run_side_by_side(start):
    with contextlib.ExitStack() as closing:
        sims = [start(name=str(number), wait=False, env={"SIM_PLAYERS": "4"}) for number in range(20)]
        for sim in sims:
            sim.wait_for_line("Started map", timeout=60)
        for sim in sims:
            wire = closing.enter_context(harness.Wire(sim.port, timeout=30))
            wire.login(sim.password)
        assert sum(resident_bytes(sim.process.pid) for sim in sims) < 20 * 20 * MEGABYTE


def test_the_ports_are_free_again_at_once(start):
    sim = start()
    sim.rcon("echo used")
    sim.process.kill()
    sim.process.wait()
    again = start(name="b", port=sim.port)
    with socket.create_connection(("127.0.0.1", again.port), 10):
        pass
