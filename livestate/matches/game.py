"""What a competitive pack does and says over RCON. Knows no rows.

The pack's plugin confogl loads a mode with `sm_forcematch` and unloads it with `sm_resetmatch`. It prints only what
is wrong: that a mode was loaded shows in settings. While a mode is loaded, `sb_all_bot_game` is 1; the ready-up plugin
has the mode's name in `l4d_ready_cfg_name`, and keeps bots still with `sb_stop` until all players are ready.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from livestate.orders import commands
from servers.gamehost import rcon

Ask = Callable[[str], rcon.Answer]

# One packet for all four: the game answers them in this order.
_LOOK: Final = "sb_all_bot_game;l4d_ready_enabled;l4d_ready_cfg_name;sb_stop"
_SETTING: Final = re.compile(r'"(\w+)" = "([^"\n]*)"')
_MARK: Final = "[Confogl]"
# A pack that has a plugin for statistics writes with this setting the score of each map into a file.
_WRITE_SCORES: Final = "sm_cvar sm_stats_writestats 1"
_LOG: Final = "log"
_NO_LOG: Final = "not currently logging"
LONGEST_SAID: Final = 200


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a game says of its match. `is_getting_ready` is None where there is no ready-up plugin."""

    is_loaded: bool
    config: str = ""
    is_getting_ready: bool | None = None

    def has(self, config: str) -> bool:
        """Whether the mode is loaded that calls itself `config`; any mode, for a mode that has no such name."""
        return self.is_loaded and (not config or self.config.strip().casefold() == config.casefold())


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What came of a command; `problem` is empty if the game took it."""

    problem: str | Promise = ""


def look(ask: Ask) -> Facts:
    """Ask a game for its match. Raises RconError."""
    found = dict(_SETTING.findall(ask(_LOOK)))
    is_enabled = found.get("l4d_ready_enabled", "0") not in {"", "0"}
    return Facts(
        is_loaded=found.get("sb_all_bot_game", "0") not in {"", "0"},
        # The settings of a plugin stay when it is unloaded, so its name counts only while it is enabled.
        config=found.get("l4d_ready_cfg_name", "") if is_enabled else "",
        is_getting_ready=found.get("sb_stop", "0") not in {"", "0"} if is_enabled else None,
    )


def load(ask: Ask, mode: str, map_name: str) -> Sent:
    """Have a mode loaded, in place of one that is loaded already. Raises RconError."""
    verb = "sm_forcechangematch" if look(ask).is_loaded else "sm_forcematch"
    answer = ask(" ".join(filter(None, (verb, mode, map_name))))
    if commands.is_unknown(answer):
        if verb == "sm_forcechangematch":
            return Sent(problem=_("Another mode is loaded, and this pack cannot change it. End it in the game first."))
        return Sent(problem=_("The plugin that loads match modes (confogl) is not running on the server."))
    complaint = next((line.strip() for line in answer.splitlines() if line.strip().startswith(_MARK)), "")
    return Sent(problem=complaint[:LONGEST_SAID])


def unload(ask: Ask) -> Sent:
    """Have the loaded mode unloaded. Raises RconError."""
    if commands.is_unknown(ask("sm_resetmatch")):
        return Sent(problem=_("The plugin that loads match modes (confogl) is not running on the server."))
    return Sent()


def write_scores(ask: Ask) -> bool:
    """Have the score of each map written; returns whether a plugin does that. Raises RconError."""
    answer = ask(_WRITE_SCORES)
    return not commands.is_unknown(answer) and "sm_stats_writestats" in answer and "Unable to find" not in answer


def write_log(ask: Ask) -> None:
    """Have the log written, in which chat and teams are, unless it is already. Raises RconError."""
    # `log on` would begin a new file each time.
    if _NO_LOG in ask(_LOG):
        ask("log on")
