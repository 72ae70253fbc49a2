"""The engine's console commands."""

from __future__ import annotations

from . import status
from .grammar import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .engine import Engine

# Commands that exist and do nothing that shows.
_SILENT = ("wait", "heartbeat", "sv_registerip", "setmaster", "startupmenu", "host_writeconfig", "mat_info", "cmd")


class EngineCommands:
    """The commands of the game itself; every method `do_x` is command `x`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._console = engine.console
        self._cvars = engine.cvars
        self._log = engine.log
        self._world = engine.world
        for name in ("exit", "killserver"):
            self._console.commands[name] = self.do_quit
        for name in _SILENT:
            self._console.commands[name] = lambda _command: None

    def do_exec(self, command: Command) -> None:
        if command.args:
            self._console.exec_file(command.args[0])
        else:
            self._log.print("exec <filename>: execute a script file\n")

    def do_stuffcmds(self, _command: Command) -> None:
        """Runs the `+commands` of the command line. valve.rc calls it: without valve.rc nothing ever loads a map."""
        for text in self._engine.arguments.commands:
            self._console.run(text)

    def do_alias(self, command: Command) -> None:
        if not command.args:
            rows = [f"{name} : {text}" for name, text in sorted(self._console.aliases.items())]
            self._log.print("\n".join(["Current alias commands:", *rows]) + "\n")
        elif len(command.args) == 1:
            self._console.aliases.pop(command.args[0].lower(), None)
        else:
            self._console.aliases[command.args[0].lower()] = " ".join(command.args[1:])

    def do_echo(self, command: Command) -> None:
        self._log.print(" ".join(command.args) + " \n")

    def do_toggle(self, command: Command) -> None:
        cvar = self._cvars.find(command.args[0]) if command.args else None
        if cvar is not None:
            cvar.write("0" if cvar.number else "1")

    def do_map(self, command: Command) -> None:
        self._change_map(command, keep_players=False)

    def do_changelevel(self, command: Command) -> None:
        self._change_map(command, keep_players=True)

    def _change_map(self, command: Command, *, keep_players: bool) -> None:
        words = command.words
        if not words:
            self._log.print(f"{command.name} <mapname> : load a map\n")
        elif not self._engine.has_map(words[0]):
            self._log.print(f"{command.name.lower()} load failed: {words[0]} not found or invalid\n")
        else:
            mode = words[1] if len(words) > 1 else ""
            self._world.change_map(words[0], mode=mode, keep_players=keep_players)

    def do_maps(self, command: Command) -> None:
        wanted = command.args[0].rstrip("*") if command.args else ""
        rows = [f"PENDING:   (fs) {name}.bsp" for name in self._engine.known_maps() if wanted in name]
        self._log.print("\n".join(["-------------", *rows]) + "\n")

    def do_status(self, _command: Command) -> None:
        if self._engine.status_text is not None:
            self._log.print(self._engine.status_text)
            return
        ip, port = self._engine.address
        now = self._engine.timers.now()
        self._log.print(status.text_of(world=self._world, cvars=self._cvars, address=f"{ip}:{port}", now=now))

    def do_users(self, _command: Command) -> None:
        rows = [f'{player.slot}:{player.userid}:"{player.name}"' for player in self._world.players]
        self._log.print("\n".join(["<slot:userid:name>", *rows, f"{len(rows)} users"]) + "\n")

    def do_stats(self, _command: Command) -> None:
        busy = 0.0 if self._world.hibernating else 3.5 + 1.5 * len(self._world.players)
        rate = 0.0 if self._world.hibernating else 30.0
        minutes = int(self._engine.timers.now() / 60)
        people = len(self._world.players)
        self._log.print(
            "  CPU   NetIn   NetOut    Uptime  Maps   FPS   Players  Svms    +-ms   ~tick\n"
            f"{busy:6.1f} {people * 4.1:7.1f} {people * 9.7:8.1f} {minutes:9d} {self._engine.maps_loaded:5d} "
            f"{rate:6.2f} {people:8d} {busy / 3:6.2f} {0.3:7.2f} {0.2:7.2f}\n"
        )

    def do_version(self, _command: Command) -> None:
        self._log.print(
            f"Protocol version {status.VERSION.replace('.', '')} [1042/1042]\n"
            f"Exe version {status.VERSION} (left4dead2)\nExe build: 18:48:36 Oct 21 2025 ({status.BUILD}) (550)\n"
        )

    def do_cvarlist(self, command: Command) -> None:
        wanted = command.args[0].lower() if command.args else ""
        rows = [(cvar.name, cvar.value, cvar.flags, cvar.help) for cvar in self._cvars]
        rows += [(name, "cmd", "", "") for name in self._console.commands]
        chosen = sorted(row for row in rows if row[0].startswith(wanted))
        body = [f"{name:<40} : {value:<8} : {flags:<16} : {text}" for name, value, flags, text in chosen]
        rule, of = "--------------", f" for [{wanted}]" if wanted else ""
        total = f"{len(chosen):3d} {'convars/concommands' if wanted else 'total convars/concommands'}{of}"
        self._log.print("\n".join(["cvar list", rule, *body, rule, total]) + "\n")

    def do_find(self, command: Command) -> None:
        if not command.args:
            self._log.print("Usage:  find <string>\n")
            return
        wanted = command.args[0].lower()
        for cvar in self._cvars:
            if wanted in cvar.name or wanted in cvar.help.lower():
                self._log.print(cvar.described())

    def do_help(self, command: Command) -> None:
        cvar = self._cvars.find(command.args[0]) if command.args else None
        if cvar is not None:
            self._log.print(cvar.described())
        else:
            self._log.print("Usage:  help <cvarname>\n")

    def do_say(self, command: Command) -> None:
        self._log.event(f'"Console<0><Console><Console>" say "{command.value}"')
        self._log.print(f"Console: {command.value}\n")

    def do_log(self, command: Command) -> None:
        wanted = command.args[0].lower() if command.args else ""
        if wanted in ("on", "1"):
            self._log.start_logging()
        elif wanted in ("off", "0"):
            self._log.stop_logging()
        state = "currently logging" if self._log.logging else "not currently logging"
        self._log.print(f"Usage:  log < on | off >\n{state}\n" if not wanted else f"Server logging {wanted}.\n")

    def do_sm_cvar(self, command: Command) -> None:
        cvar = self._cvars.find(command.args[0]) if command.args else None
        if not command.args:
            self._log.print("[SM] Usage: sm_cvar <cvar> [value]\n")
        elif cvar is None:
            self._log.print(f"[SM] Unable to find cvar: {command.args[0]}\n")
        elif len(command.args) == 1:
            self._log.print(f'[SM] Value of cvar "{cvar.name}": "{cvar.value}"\n')
        else:
            cvar.write(command.args[1])
            self._log.print(f'[SM] Changed cvar "{cvar.name}" to "{cvar.value}".\n')

    def do_quit(self, _command: Command) -> None:
        if not self._cvars.on("sim_ignore_quit"):
            self._engine.leave(0)

    def do__restart(self, _command: Command) -> None:
        self._engine.leave(0)
