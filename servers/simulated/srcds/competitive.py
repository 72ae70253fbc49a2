"""What the plugins of a competitive pack add: match modes (confogl), getting ready, and files with the score.

As in the real ones, a mode that is loaded prints nothing and shows in settings; the score is in no log. Plugins of a
mode are loaded by its `confogl_plugins.cfg`, its settings come from `confogl.cfg` after each map load.
"""

from __future__ import annotations

import contextlib
import os
import time

from .grammar import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .engine import Engine
    from .players import Player

_ROOT = "left4dead2/addons/sourcemod"
_CONFIGS = "left4dead2/cfg/cfgogl"
_RESTARTS_AFTER = 3.0
_READY_AFTER = 3.0
_UNLOADS_AFTER = 60.0
_NAMES = {"A": "Survivor", "B": "Infected"}


def is_installed() -> bool:
    return os.path.isfile(f"{_ROOT}/plugins/confoglcompmod.smx")


class CompetitiveCommands:
    """sm_forcematch, sm_forcechangematch, sm_resetmatch, confogl_addcvar; `sim_ready` and `sim_round` for tests."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._console = engine.console
        self._log = engine.log
        self._timers = engine.timers
        self._world = engine.world
        self._mode = ""
        self._map = ""
        self._ready: set[int] = set()
        self._rounds = 0
        self._totals = {"A": 0, "B": 0}
        self._then = engine.after_configs
        engine.after_configs = self._map_loaded
        for short, name in (("sm_fm", "sm_forcematch"), ("sm_fchmatch", "sm_forcechangematch")):
            engine.console.commands[short] = getattr(self, f"do_{name}")

    def do_sm_forcematch(self, command: Command) -> None:
        if not self._mode:
            self._load(command.args)

    def do_sm_forcechangematch(self, command: Command) -> None:
        if self._mode and self._is_possible(command.args):
            self._unload()
            self._load(command.args)

    def do_sm_resetmatch(self, _command: Command) -> None:
        if self._mode:
            self._unload()

    def do_confogl_addcvar(self, command: Command) -> None:
        if len(command.args) > 1:
            self._set(command.args[0], command.args[1])

    def do_sim_ready(self, command: Command) -> None:
        """`sim_ready [NAME]`: this one says !ready, or all do. Once all have, the round begins."""
        for player in [each for each in self._world.players if command.value in ("", each.name)]:
            self._log.event(f'{player.tag()} say "!ready"')
            self._ready.add(player.userid)
        if self._mode and {player.userid for player in self._world.players} <= self._ready:
            self._timers.after(_READY_AFTER, self._begin_round)

    def do_sim_unready(self, command: Command) -> None:
        """`sim_unready NAME`: this one is not ready after all."""
        for player in [each for each in self._world.players if each.name == command.value]:
            self._log.event(f'{player.tag()} say "!unready"')
            self._ready.discard(player.userid)

    def do_sim_round(self, command: Command) -> None:
        """`sim_round A B`: both teams have played the map, with so many points."""
        points = [int(each) if each.lstrip("-").isdigit() else 0 for each in [*command.args, "0", "0"]]
        self._log.event('World triggered "Round_End"')
        writes = self._console.cvars.find("sm_stats_writestats")
        if writes is not None and writes.number:
            self._write_score(points[0], points[1])

    def _load(self, args: list[str]) -> None:
        if not self._is_possible(args):
            return
        self._mode, self._map = args[0], args[1] if len(args) > 1 else ""
        self._rounds, self._totals = 0, {"A": 0, "B": 0}
        cvars = self._console.cvars
        self._set("sb_all_bot_game", "1")
        # Of the plugins that the modes load; their settings stay when they are unloaded.
        for name in ("l4d_ready_enabled", "l4d_ready_cfg_name", "sb_stop"):
            cvars.make(name, "0" if name != "l4d_ready_cfg_name" else "")
        if os.path.isfile(f"{_ROOT}/plugins/optional/l4d2_playstats.smx"):
            cvars.make("sm_stats_writestats", "0")
        self._exec("confogl_plugins.cfg")
        self._exec("confogl.cfg")
        self._timers.after(_RESTARTS_AFTER, self._restart)

    def _is_possible(self, args: list[str]) -> bool:
        if not args:
            self._log.print("[Confogl] Please specify a config to load.\n")
        elif not os.path.isdir(f"{_CONFIGS}/{os.path.basename(args[0])}"):
            self._log.print(f"[Confogl] Config {args[0]} not found!\n")
        elif len(args) > 1 and not self._engine.has_map(args[1]):
            self._log.print(f"[Confogl] Map {args[1]} not found!\n")
        else:
            return True
        return False

    def _restart(self) -> None:
        if self._mode:
            self._world.change_map(self._map or self._world.map, keep_players=True)

    def _unload(self) -> None:
        self._exec("confogl_off.cfg")
        self._set("sb_all_bot_game", "0")
        self._mode = ""

    def _set(self, name: str, value: str) -> None:
        self._console.cvars.make(name, "0")
        self._console.cvars[name.lower()].write(value)

    def _exec(self, name: str) -> None:
        self._console.exec_file(f"cfgogl/{self._mode}/{name}", quiet=True)

    def _map_loaded(self) -> None:
        self._then()
        self._ready.clear()
        if self._mode:
            self._exec("confogl.cfg")
            self._set("sb_stop", "1")
            self._watch()

    def _watch(self) -> None:
        """A mode without players is unloaded after a minute."""

        def look() -> None:
            if self._mode and not self._world.players:
                self._unload()
            elif self._mode:
                self._watch()

        self._timers.after(_UNLOADS_AFTER, look)

    def _begin_round(self) -> None:
        if self._mode:
            self._set("sb_stop", "0")
            self._log.event('World triggered "Round_Start"')

    def _write_score(self, first: int, second: int) -> None:
        self._rounds += 1
        self._totals["A"] += first
        self._totals["B"] += second
        now = time.gmtime(self._timers.clock.wall(self._timers.now()))
        stamp, map_name = time.strftime("%Y-%m-%d_%H-%M", now), self._world.map
        config = self._console.cvars.text("l4d_ready_cfg_name")
        when = time.strftime("%Y-%m-%d;%H:%M", now)
        lines = [f"[Gameround:{self._rounds}]", f"{self._rounds};{when};4;{config};{map_name};", ""]
        for half, team in enumerate("AB"):
            players = [each for each in self._world.players if each.team == _NAMES[team]]
            lines += [f"[RoundHalf:{half}]", f"{half};{team};0;0;", "", f"[Players:{team}]:"]
            lines += [_player(number, player) for number, player in enumerate(players, 1)] + [""]
        totals = self._totals
        lines += ["[Scoring:]", f"A;{first};{totals['A']};B;{second};{totals['B']};", ""]
        with contextlib.suppress(OSError):
            os.makedirs(f"{_ROOT}/logs", exist_ok=True)
            with open(f"{_ROOT}/logs/{stamp}_{self._rounds:04d}_{map_name}.txt", "a", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")


def _player(number: int, player: Player) -> str:
    return f"{number};{player.slot};{player.steam_id};0;0;"
