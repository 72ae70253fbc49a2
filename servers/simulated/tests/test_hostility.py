"""Whatever strangers and operators send, the server goes on."""

from __future__ import annotations

import contextlib
import random
import socket
import struct

from servers.simulated.harness import AUTH, PASSWORD, packet

# Those that end it, or make it as deaf as they say.
ENDING = {
    "quit",
    "exit",
    "killserver",
    "_restart",
    "sim_crash",
    "sim_hang",
    "sim_flood",
    "map",
    "changelevel",
    "sim_map_load_seconds",
    "sim_speed",
}
WORDS = [
    "",
    "0",
    "1",
    "-1",
    "nan",
    "1e999",
    "²",
    "99999999999999999999",
    '"',
    ";",
    "//",
    "*",
    "é" * 40,
    "\x01",
    "%s%n",
    "..",
]


def test_noise_on_the_ports_does_no_harm(start):
    sim = start(server_cfg="sv_rcon_whitelist_address 127.0.0.1; sv_rcon_maxpacketbans 0")
    dice = random.Random(1)
    for number in range(300):
        noise = dice.randbytes(dice.randint(0, 60))
        if number % 3 == 0:
            noise = struct.pack("<iii", len(noise) + 8, dice.randint(-2, 5), dice.randint(-1, 5)) + noise
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", sim.port), 10) as stream:
            stream.sendall(packet(1, AUTH, PASSWORD) * (number % 2) + noise)
        with socket.socket(type=socket.SOCK_DGRAM) as datagram:
            datagram.sendto(b"\xff\xff\xff\xff" * (number % 2) + noise, ("127.0.0.1", sim.port))
    assert "reached" in sim.rcon("echo reached")


def test_every_command_and_variable_survives_odd_arguments(start):
    sim = start("-maxplayers", "8", "+sim_players", "4")
    listed = sim.rcon("cvarlist").splitlines()
    names = [line.split(" ")[0] for line in listed if " : " in line]
    names = [name for name in names if name not in ENDING]
    assert len(names) > 150
    dice = random.Random(2)
    for _ in range(3000):
        line = " ".join([dice.choice(names), *(dice.choice(WORDS) for _ in range(dice.randint(0, 3)))])
        sim.process.stdin.write(line.encode() + b"\n")
    sim.process.stdin.write(b"sim_speed 1; echo all done\n")
    sim.process.stdin.flush()
    sim.wait_for_line("all done")
    assert sim.process.poll() is None
