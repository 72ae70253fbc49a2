"""Sends orders to a running game over RCON and verifies their effect. Knows no rows.

The game's answer proves little: a kick prints nothing, a map change closes the connection. So each action is verified
by what the game shows afterwards; where that shows nothing, the outcome is `UNCERTAIN`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from livestate.status import NotStatus, Player, Status, parse_status
from servers.gamehost import rcon

CHECKS = 4
PAUSE_SECONDS = 0.5
MAP_CHECKS = 16
MAP_PAUSE_SECONDS = 1.0

DIFFICULTIES = ("Easy", "Normal", "Hard", "Impossible")
MODES = ("coop", "realism", "versus", "survival", "scavenge", "mutation12")
LONGEST_SAYING = 120

Ask = Callable[[str], rcon.Answer]
Pause = Callable[[float], None]


class Result(StrEnum):
    DONE = "done"
    UNCERTAIN = "uncertain"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """`note` explains the result to the user who gave the order; `output` is what the game printed."""

    result: Result
    output: str = ""
    note: str | Promise = ""


# Orders that end the game that is being played, by the names of their kinds; and the console commands that do.
_INTERRUPTING_KINDS = frozenset({"map", "difficulty", "mode", "load_plugin", "unload_plugin", "reload_plugin"})
_INTERRUPTING_COMMANDS = frozenset(
    [
        "map",
        "changelevel",
        "changelevel2",
        "map_background",
        "restart",
        "sm_map",
        "sm_forcematch",
        "sm_fm",
        "sm_resetmatch",
        "sm_forcechangematch",
        "sm_fchmatch",
        "kickall",
        "mp_gamemode",
        "z_difficulty",
        "mp_restartgame",
        "pred_unload_plugins",
    ]
)
_INTERRUPTING_PLUGINS = re.compile(r"sm\s+(plugins|exts)\s+(load|unload|reload|unload_all|refresh)", re.IGNORECASE)

_UNKNOWN_COMMAND = re.compile(r'(?:Unknown command "[^"\n]*"\s*)+')


def interrupts(kind: str, value: str) -> bool:
    """Whether an order would disturb a match: it changes map, rules or plugins."""
    if kind != "command":
        return kind in _INTERRUPTING_KINDS
    parts = [part.strip() for part in re.split(r"[;\n]", value.replace('"', " "))]
    names = {part.split()[0].lower() for part in parts if part}
    return bool(names & _INTERRUPTING_COMMANDS) or any(_INTERRUPTING_PLUGINS.match(part) for part in parts)


def is_unknown(output: str) -> bool:
    """Whether the game answered only that it does not know the command."""
    return _UNKNOWN_COMMAND.fullmatch(output.strip()) is not None


def command(ask: Ask, text: str) -> Outcome:
    answer = ask(text)
    if is_unknown(answer):
        return Outcome(Result.FAILED, answer)
    if answer.confirmed:
        return Outcome(Result.DONE, answer)
    return Outcome(
        Result.UNCERTAIN,
        answer,
        _("No reply (normal for map changes). Check the server state."),
    )


def say(ask: Ask, text: str) -> Outcome:
    return Outcome(Result.DONE, ask(f"say {sayable(text)}"))


def kick(ask: Ask, steam_id_64: int, *, pause: Pause = time.sleep) -> Outcome:
    player = _find(_status(ask), steam_id_64)
    if player is None:
        return Outcome(Result.FAILED, note=_("This player has left the server."))
    output = ask(f"kickid {player.userid} Kicked by an admin")
    if _holds(lambda: _find(_status(ask), steam_id_64) is None, pause):
        return Outcome(Result.DONE, output, _("The player has left the server."))
    return Outcome(Result.UNCERTAIN, output, _("The player is still on the server."))


def change_map(ask: Ask, name: str, *, pause: Pause = time.sleep) -> Outcome:
    """Change the map with `changelevel`, which keeps the players; `map` would disconnect them."""
    answer = ask(f"changelevel {name}")

    def is_loaded() -> bool:
        return _status(ask).map == name

    if _holds(is_loaded, pause, checks=MAP_CHECKS, seconds=MAP_PAUSE_SECONDS):
        return Outcome(Result.DONE, answer, _("Map loaded."))
    return Outcome(Result.UNCERTAIN, answer, _("The map has not changed yet."))


def set_difficulty(ask: Ask, level: str) -> Outcome:
    return _set(ask, "z_difficulty", level, _("Applied."))


def set_mode(ask: Ask, mode: str) -> Outcome:
    return _set(ask, "mp_gamemode", mode, _("Applied. It takes full effect at the next map."))


def sayable(text: str) -> str:
    """The text as one safe argument: without separators of commands, quotes, control and direction characters."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.replace('"', "'").replace(";", ",").split())[:LONGEST_SAYING]


def _set(ask: Ask, name: str, value: str, note: str | Promise) -> Outcome:
    ask(f"{name} {value}")
    shown = ask(name)
    match = re.search(rf'"{name}" = "([^"]*)"', shown)
    if match and match[1].casefold() == value.casefold():
        return Outcome(Result.DONE, shown, note)
    return Outcome(Result.UNCERTAIN, shown, _("The game did not accept the new value."))


def _status(ask: Ask) -> Status:
    """The present status. Raises NotStatus also for a truncated one, which cannot prove that a player is absent."""
    status = parse_status(ask("status"))
    if not status.complete:
        raise NotStatus("The response was incomplete.")
    return status


def _find(status: Status, steam_id_64: int) -> Player | None:
    return next((player for player in status.players if player.steamid64 == str(steam_id_64)), None)


def _holds(
    condition: Callable[[], bool], pause: Pause, *, checks: int = CHECKS, seconds: float = PAUSE_SECONDS
) -> bool:
    """Whether the condition becomes true within some checks. A check that the game does not answer is repeated."""
    for check in range(checks):
        if check:
            pause(seconds)
        try:
            if condition():
                return True
        except (rcon.RconError, NotStatus):
            continue
    return False
