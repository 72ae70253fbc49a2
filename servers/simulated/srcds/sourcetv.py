"""SourceTV: its bot, its port and its demos.

As in the engine, `tv_enable` counts from the next map on, one demo is written at a time, and the length stands in its
header only once the recording has ended: a game that is killed leaves a demo without one.
"""

from __future__ import annotations

import random
import socket
import struct
import time

from .clock import Timer, Timers
from .cvars import Cvars
from .grammar import Command
from .log import Log
from .world import World

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

_GAME = "left4dead2"
_HEADER = struct.Struct("<8sii260s260s260s260sfiii")
_DEMO_PROTOCOL = 4
_NETWORK_PROTOCOL = 2100
_TICKS_PER_SECOND = 30
_SIGNON, _PACKET, _STOP = 1, 2, 7
_MESSAGE = struct.Struct("<BiBi")
_SIGNON_BYTES = 60_000
_WRITE_SECONDS = 2.0
_BYTES_PER_SECOND = 2_000
# A game that runs much faster than a clock must not fill the disk.
_LARGEST_BYTES = 50_000_000
_PORT_TRIES = 10


class SourceTv:
    def __init__(self, *, timers: Timers, cvars: Cvars, log: Log, world: World) -> None:
        self._timers = timers
        self._cvars = cvars
        self._log = log
        self._world = world
        self._socket: socket.socket | None = None
        self._file: BinaryIO | None = None
        self._timer: Timer | None = None
        self._seconds = 0.0
        self._frames = 0
        # Not the dice of the world: with and without SourceTV it has the same history.
        self._dice = random.Random(0)
        self.recorded = ""

    @property
    def is_active(self) -> bool:
        return self._world.source_tv_userid is not None

    def map_begins(self, ip: str) -> None:
        """Before the configs of the map: whoever enables SourceTV in them has it from the next map on."""
        if not self._cvars.on("tv_enable"):
            self._world.source_tv_userid = None
            return
        if self._socket is None:
            self._bind(ip)
        self._world.source_tv_userid = self._world.next_userid()
        self._log.print("SourceTV broadcast active.\n")

    def record_automatically(self) -> None:
        """After the configs of the map."""
        if self.is_active and self._cvars.on("tv_autorecord"):
            self.record(time.strftime(f"auto-%Y%m%d-%H%M-{self._world.map}"))

    def map_ends(self) -> None:
        self.stop()
        self._world.source_tv_userid = None

    def record(self, name: str) -> None:
        """Begin a demo `name`.dem below the game's folder, and end the one that is being written."""
        self.stop()
        path = name if name.endswith(".dem") else f"{name}.dem"
        if ".." in path or path.startswith("/"):
            self._log.print(f"Error! couldn't open demo file {path} for writing.\n")
            return
        try:
            self._file = open(f"{_GAME}/{path}", "wb")  # noqa: SIM115 -- it stays open for the map
        except OSError:
            self._log.print(f"Error! couldn't open demo file {path} for writing.\n")
            return
        self._log.print(f"Recording SourceTV demo to {path}...\n")
        self.recorded, self._seconds, self._frames = path, 0.0, 0
        self._file.write(self._header(0.0, 0, 0))
        self._write(_SIGNON, _SIGNON_BYTES)
        self._timer = self._timers.after(_WRITE_SECONDS, self._go_on)

    def stop(self) -> None:
        """End the demo, if one is being written."""
        if self._file is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._write(_STOP, 0)
        self._file.seek(0)
        self._file.write(self._header(self._seconds, int(self._seconds * _TICKS_PER_SECOND), self._frames))
        self._file.close()
        self._file = None
        self._log.print(f'Completed SourceTV demo "{self.recorded}", recording time {self._seconds:.1f}\n')
        self.recorded = ""

    def _go_on(self) -> None:
        self._timer = self._timers.after(_WRITE_SECONDS, self._go_on)
        # A server that sleeps computes no ticks.
        if not self._world.hibernating and self._frames * _WRITE_SECONDS * _BYTES_PER_SECOND < _LARGEST_BYTES:
            self._seconds += _WRITE_SECONDS
            self._write(_PACKET, int(_WRITE_SECONDS * _BYTES_PER_SECOND))

    def _write(self, kind: int, size: int) -> None:
        if self._file is None:
            return
        tick = int(self._seconds * _TICKS_PER_SECOND)
        self._frames += 1
        self._file.write(_MESSAGE.pack(kind, tick, 0, size) + self._dice.randbytes(size))
        self._file.flush()

    def _header(self, seconds: float, ticks: int, frames: int) -> bytes:
        return _HEADER.pack(
            b"HL2DEMO",
            _DEMO_PROTOCOL,
            _NETWORK_PROTOCOL,
            self._cvars.text("hostname").encode()[:259],
            b"SourceTV Demo",
            self._world.map.encode()[:259],
            _GAME.encode(),
            seconds,
            ticks,
            frames,
            _SIGNON_BYTES,
        )

    def _bind(self, ip: str) -> None:
        wanted = int(self._cvars.number("tv_port"))
        for port in range(wanted, wanted + _PORT_TRIES):
            datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                datagrams.bind((ip, port))
            except (OSError, OverflowError):
                datagrams.close()
                continue
            self._socket = datagrams
            if port != wanted:
                self._log.print(f"WARNING: Port {wanted} was unavailable - bound to port {port} instead\n")
            return
        self._log.print(f"WARNING: SourceTV has no port: {wanted} is unavailable\n")


class SourceTvCommands:
    def __init__(self, tv: SourceTv, log: Log) -> None:
        self._tv = tv
        self._log = log

    def do_tv_record(self, command: Command) -> None:
        if not command.args:
            self._log.print("Usage:  tv_record  <filename>\n")
        elif not self._tv.is_active:
            self._log.print("SourceTV not active.\n")
        else:
            self._tv.record(command.args[0])

    def do_tv_stoprecord(self, _command: Command) -> None:
        if self._tv.is_active:
            self._tv.stop()
        else:
            self._log.print("SourceTV not active.\n")

    def do_tv_status(self, _command: Command) -> None:
        if not self._tv.is_active:
            self._log.print("SourceTV not active.\n")
            return
        recorded = f'Recording to "{self._tv.recorded}"' if self._tv.recorded else "Not recording"
        self._log.print(f"--- SourceTV Status ---\n{recorded}.\n")
