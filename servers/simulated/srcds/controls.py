"""The simulation's own commands: players and faults on demand, and game time."""

from __future__ import annotations

import os
import resource
import signal
import time

from . import dumps
from .grammar import Command, number_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .engine import Engine

_FLOOD_TICK_SECONDS = 0.05
_FASTEST_FLOOD = 100_000
_FOR_EVER_SECONDS = 1e8


class Controls:
    """Commands `sim_…`. They also come from the environment: SIM_PLAYERS=4 is `sim_players 4` before anything else."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._log = engine.log

    def do_sim_players(self, command: Command) -> None:
        """`sim_players N` keeps N on; `sim_players auto` lets them come and go."""
        wanted = command.args[0] if command.args else "auto"
        on = self._engine.script.keep(int(wanted) if wanted.isdecimal() else None)
        self._log.print(f"sim: {on} of {self._engine.world.max_players} on\n")

    def do_sim_join(self, command: Command) -> None:
        """`sim_join NAME`: this one joins."""
        joined = self._engine.world.join(command.value)
        self._log.print(f"sim: joined as {joined.userid}\n" if joined else "sim: refused\n")

    def do_sim_dump(self, command: Command) -> None:
        """`sim_dump [SIGNAL]`: leave a crash dump, as Accelerator does when the game crashes."""
        number = abs(int(number_of(command.args[0]))) % 65 if command.args else signal.SIGSEGV
        seconds = int(time.time())
        with open(f"left4dead2/crash-{seconds}.dmp", "wb") as file:
            file.write(dumps.build(number, seconds=seconds))

    def do_sim_text(self, command: Command) -> None:
        """`sim_text motd`, `sim_text hostfile`: what players are shown on this map."""
        text = self._engine.texts.get(command.value, b"")
        self._log.print(text.decode("utf-8", "surrogateescape") + "\n")

    def do_sim_outdated(self, _command: Command) -> None:
        """`sim_outdated`: Steam tells the game that it needs a newer version."""
        self._log.print(
            "MasterRequestRestart\nYour server needs to be restarted in order to receive the latest update.\n"
        )

    def do_sim_joining(self, command: Command) -> None:
        """`sim_joining NAME`: this one connects and loads, until `sim_join NAME` or `sim_leave NAME`."""
        self._engine.world.start_joining(command.value)

    def do_sim_leave(self, command: Command) -> None:
        """`sim_leave NAME`: this one leaves."""
        self._engine.world.stop_joining(command.value)
        for player in [p for p in self._engine.world.players if p.name == command.value]:
            self._engine.world.leave(player, "Disconnect by user.")

    def do_sim_chat(self, command: Command) -> None:
        if not self._engine.script.chat(command.value or "hello"):
            self._log.print("sim: nobody is on\n")

    def do_sim_finish(self, _command: Command) -> None:
        """`sim_finish`: the players reach the end of the chapter; at a finale they win the campaign."""
        if not self._engine.script.finish_chapter():
            self._log.print("sim: nobody is on\n")

    def do_sim_vote(self, command: Command) -> None:
        """`sim_vote pass|fail ISSUE [SUBJECT]`: somebody calls a vote, such as `mission_change`, and it ends so."""
        passes, issue, *subject = [*command.args, "", ""]
        if not self._engine.script.vote(f"#L4D_vote_{issue}", " ".join(subject).strip(), passes=passes == "pass"):
            self._log.print("sim: nobody is on\n")

    def do_sim_seed(self, command: Command) -> None:
        self._engine.script.seed(command.value)

    def do_sim_speed(self, command: Command) -> None:
        """`sim_speed X`: game time runs X times as fast."""
        self._engine.timers.clock.set_speed(number_of(command.value))
        self._log.print(f"sim: speed {self._engine.timers.clock.speed:g}\n")

    def do_sim_record(self, command: Command) -> None:
        """`sim_record PATH`: append joins, leaves and maps as JSON lines."""
        if not self._engine.record.open(command.value):
            self._log.print(f"sim: cannot write {command.value}\n")

    def do_sim_status_file(self, command: Command) -> None:
        """`sim_status_file PATH`: `status` answers that file's bytes; without a path the real state again."""
        self._engine.status_text = None
        if command.value:
            try:
                with open(command.value, "rb") as file:
                    self._engine.status_text = file.read().decode("utf-8", "surrogateescape")
            except OSError:
                self._log.print(f"sim: cannot read {command.value}\n")

    def do_sim_after(self, command: Command) -> None:
        """`sim_after SECONDS "commands"`: game seconds from now."""
        if len(command.args) > 1:
            text = " ".join(command.args[1:])
            self._engine.timers.after(number_of(command.args[0]), lambda: self._engine.console.run(text))

    def do_sim_crash(self, command: Command) -> None:
        """`sim_crash [SIGNAL|STATUS]`: end at once, by a signal (SEGV without an argument) or with a status."""
        how = command.value.upper()
        if how.isdecimal():
            self._log.event(f"sim: ending with status {how}")
            os._exit(int(how) & 0xFF)
        number = getattr(signal, "SIG" + (how.removeprefix("SIG") or "SEGV"), signal.SIGSEGV)
        self._log.taker = None
        self._log.print("Segmentation fault (core dumped)\n" if number == signal.SIGSEGV else f"{number.name}\n")
        # No core file: a simulated crash is nothing to debug.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def do_sim_hang(self, command: Command) -> None:
        """`sim_hang [SECONDS]`: the frame loop stands still. SIGTERM ends it as it ends a hanging game."""
        if not self._engine.cvars.on("sim_ignore_term"):
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        time.sleep(max(0.0, number_of(command.value)) or _FOR_EVER_SECONDS)
        self._engine.catch_signals()

    def do_sim_flood(self, command: Command) -> None:
        """`sim_flood LINES_PER_SECOND SECONDS`: log lines, in real time."""
        numbers = [int(number_of(arg)) for arg in command.args]
        rate, seconds = (numbers + [100, 1][len(numbers) :])[:2]
        rate = min(rate, _FASTEST_FLOOD)
        clock = self._engine.timers.clock
        started, total, written = time.monotonic(), rate * seconds, 0

        def burst() -> None:
            nonlocal written
            due = min(total, int((time.monotonic() - started + _FLOOD_TICK_SECONDS) * rate))
            for number in range(written, due):
                self._log.event(f"sim: flood line {number + 1} of {total}")
            written = due
            if written < total:
                self._engine.timers.after(_FLOOD_TICK_SECONDS * clock.speed, burst)

        self._engine.timers.after(0, burst)
