"""Demos of the simulated game have the shape that the reader knows."""

from __future__ import annotations

import io
import socket
import time
from pathlib import Path

from livestate.demos import header
from servers.simulated import harness
from servers.simulated.harness import Sim


def demo(sim: Sim) -> tuple[Path, header.Header]:
    (path,) = (sim.tree / "left4dead2").glob("auto-*.dem")
    return path, header.read(io.BytesIO(path.read_bytes()))


def test_every_map_is_recorded_and_the_length_stands_in_the_header_afterwards(tmp_path: Path):
    arguments = ["+tv_enable", "1", "+tv_autorecord", "1", "+tv_port", str(harness.free_port())]
    with harness.running(tmp_path, args=[*arguments, "+map", "c2m1_highway"]) as sim:
        assert '"SourceTV" BOT active' in sim.rcon("status")
        path, told = demo(sim)
        assert path.name.startswith("auto-20") and path.name.endswith("-c2m1_highway.dem")
        assert (told.map, told.game, told.is_complete) == ("c2m1_highway", "left4dead2", False)
        sim.rcon("sim_players 2;sim_speed 100")
        deadline = time.monotonic() + 20
        while path.stat().st_size < 100_000 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert "Completed SourceTV demo" in sim.rcon("tv_stoprecord")
        told = demo(sim)[1]
        assert told.is_complete and told.ticks == int(told.seconds * 30)
        assert "Recording SourceTV demo to mine.dem" in sim.rcon("tv_record mine")
        assert "couldn't open" in sim.rcon("tv_record ../../mine")


def test_sourcetv_begins_with_the_next_map_and_takes_another_port_where_its_own_is_taken(tmp_path: Path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        port = str(holder.getsockname()[1])
        with harness.running(tmp_path, args=["+tv_port", port], server_cfg="tv_enable 1") as sim:
            assert sim.rcon("tv_record x") == "SourceTV not active.\n"
            sim.send("changelevel c1m2_streets")
            sim.wait_for_line("SourceTV broadcast active.")
            assert f"Port {port} was unavailable" in sim.text
