"""The engine: builds its parts, starts as srcds starts, and runs the frame loop."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket

from . import addons, campaigns, texts
from .a2s import QueryServer
from .arguments import Arguments
from .clock import Clock, Timers
from .console import Console
from .cvars import Cvars
from .events import Events
from .log import Log, Record
from .players import Bans
from .rcon import RconServer
from .script import Script
from .sourcetv import SourceTv
from .world import World

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_PORT_TRIES = 10
_FAILED = 1
_LONGEST_CONSOLE_READ = 4096


class StartFailed(Exception):
    """The engine cannot start. It prints the message and ends."""


class Engine:
    def __init__(self, argv: list[str], environment: dict[str, str]) -> None:
        self.arguments = Arguments(argv)
        self.cvars = Cvars(environment)
        self.timers = Timers(Clock())
        self.log = Log(self.timers, self.cvars, condebug=self.arguments.has("condebug"))
        self.console = Console(cvars=self.cvars, log=self.log)
        self.banned_people = Bans(self.timers.clock)
        self.banned_addresses = Bans(self.timers.clock)
        self.record = Record(self.timers)
        self.world = World(
            timers=self.timers,
            cvars=self.cvars,
            log=self.log,
            bans=self.banned_people,
            banned_addresses=self.banned_addresses,
            record=self.record,
        )
        self.world.slots = max(0, min(self.arguments.number("maxplayers", 0), 32))
        self.events = Events(cvars=self.cvars, log=self.log)
        self.source_tv = SourceTv(timers=self.timers, cvars=self.cvars, log=self.log, world=self.world)
        self.script = Script(timers=self.timers, cvars=self.cvars, log=self.log, world=self.world, events=self.events)
        self.address = (self.arguments.text("ip", "0.0.0.0"), 0)  # noqa: S104 -- srcds' own default
        self.status_text: str | None = None
        self.maps_loaded = 0
        self.texts: dict[str, bytes] = {}
        self._status: int | None = None
        self._half_typed = b""
        self._awake = selectors.DefaultSelector()
        # While a map loads only this one is looked at: signals arrive, the network waits.
        self._deaf = selectors.DefaultSelector()
        self._rcon = RconServer(
            console=self.console,
            cvars=self.cvars,
            log=self.log,
            timers=self.timers,
            bans=self.banned_addresses,
            selector=self._awake,
        )
        self._queries = QueryServer(world=self.world, cvars=self.cvars, timers=self.timers, selector=self._awake)
        self._rcon.away = self._is_away
        self.world.on_map_ends = self.source_tv.map_ends
        self.world.on_load_ended = self._load_ended
        self.world.on_loaded = self._map_loaded
        self._environment = environment
        self.after_configs: Callable[[], None] = lambda: None

    def run(self) -> int:
        """Serve until ended. Returns the exit status."""
        try:
            self._start()
        except StartFailed as error:
            self.log.print(f"{error}\n")
            return _FAILED
        while self._status is None:
            self._turn()
        self._rcon.close()
        self.source_tv.map_ends()
        self.world.shut_down()
        self.log.print("Server shutting down\n")
        return self._status

    def _turn(self) -> None:
        """One round: run the due timers, then sleep until there is input or the next timer is due."""
        self.timers.run_due()
        if self._status is not None:
            return
        selector = self._deaf if self.world.loading else self._awake
        for key, events in selector.select(self.timers.pause()):
            key.data(events)
            if self._is_away():
                return

    def leave(self, status: int) -> None:
        """End after the current command."""
        self._status = status

    def catch_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signalled)

    def known_maps(self) -> list[str]:
        return campaigns.stock_maps() + self.world.addon_maps

    def has_map(self, name: str) -> bool:
        return name.lower() in self.known_maps()

    def _is_away(self) -> bool:
        return self.world.loading or self._status is not None

    def _signalled(self, _number: int, _frame: object) -> None:
        if not self.cvars.on("sim_ignore_term"):
            self._status = 0

    def _start(self) -> None:
        self._wake_on_signals()
        self.log.print("Console initialized.\nUsing breakpad minidump system\n")
        try:
            self.world.addon_maps = addons.scan()
        except addons.InvalidArchive as error:
            raise StartFailed(f'Engine Error: CPackedStore: unable to open or parse archive "{error}"') from error
        self._bind()
        ip, port = self.address
        self.cvars["hostport"].value = str(port)
        self.log.print(
            'Game.dll loaded for "Left 4 Dead 2"\n'
            f"Network: IP {ip}, mode MP, dedicated Yes, ports {port} SV / 27005 CL\n"
            f"Server is hibernating\n"
        )
        self._watch_console()
        # Servers side by side differ, the same one repeats itself.
        self.script.seed(str(port))
        for name, value in sorted(self._environment.items()):
            if name.startswith("SIM_") and name.lower() in self.console.commands:
                self.console.run(f"{name.lower()} {value}")
        # All else happens in valve.rc: autoexec.cfg, then `stuffcmds` for the command line. A tree without it
        # leaves the server asleep with an empty rcon_password, so that no login succeeds.
        self.console.exec_file("valve.rc")

    def _bind(self) -> None:
        """One port for TCP and UDP. -strictportbind fails where the engine would take the next free one."""
        ip, wanted_port = self.arguments.text("ip", "0.0.0.0"), self.arguments.number("port", 27015)  # noqa: S104
        tries = 1 if self.arguments.has("strictportbind") else _PORT_TRIES
        for port in range(wanted_port, wanted_port + tries):
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                # Without it a restart waits for connections in TIME_WAIT; two listeners still exclude each other.
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind((ip, port))
                datagrams.bind((ip, port))
                listener.listen(128)
            except OSError:
                listener.close()
                datagrams.close()
                continue
            listener.setblocking(False)
            datagrams.setblocking(False)
            self.address = (ip, port)
            self._rcon.listen(listener)
            self._queries.listen(datagrams)
            return
        if tries == 1:
            raise StartFailed(
                f'ERROR: Port {wanted_port} was unavailable, quitting due to "-strictportbind" command-line flag!'
            )
        raise StartFailed("Couldn't allocate dedicated server IP port")

    def _wake_on_signals(self) -> None:
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)

        def drain(_events: int) -> None:
            with contextlib.suppress(OSError):
                reader.recv(64)

        for selector in (self._awake, self._deaf):
            selector.register(reader, selectors.EVENT_READ, drain)
        self._wakers = (reader, writer)
        self.catch_signals()

    def _watch_console(self) -> None:
        """Commands typed on stdin. A file or /dev/null cannot be waited for and is not read."""

        def typed(_events: int) -> None:
            data = os.read(0, _LONGEST_CONSOLE_READ)
            lines, _, self._half_typed = (self._half_typed + data).rpartition(b"\n")
            self.console.run(lines.decode("utf-8", "surrogateescape"))
            if not data:
                self._awake.unregister(0)

        with contextlib.suppress(OSError, ValueError):
            self._awake.register(0, selectors.EVENT_READ, typed)

    def _load_ended(self) -> None:
        """Requests of the last seconds are lost, as in the engine; those after the line "Started map" count."""
        self._rcon.forget_unread()
        self._queries.forget_unread()

    def _map_loaded(self) -> None:
        self.maps_loaded += 1
        self.texts = texts.load(cvars=self.cvars, log=self.log)
        self.source_tv.map_begins(self.address[0])
        self.console.exec_file(self.cvars.text("servercfgfile") or "server.cfg")
        self.console.exec_file(self.world.map, quiet=True)
        self.source_tv.record_automatically()
        self.after_configs()
        self.script.map_loaded()
