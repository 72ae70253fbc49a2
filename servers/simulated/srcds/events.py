"""What a script of the game can tell: the end of a campaign, and votes. Told as left4me's own script does.

The real game runs `director_base_addon.nut` and calls its functions. Here the file is only looked for: a tree without
it tells nothing.
"""

from __future__ import annotations

import contextlib
import os

from .cvars import Cvars
from .log import Log

_SCRIPT = "left4dead2/scripts/vscripts/director_base_addon.nut"
_FOLDER = "left4dead2/ems"
_FILE = f"{_FOLDER}/left4me_events.txt"
_KEPT = 20
_BASES = ("versus", "scavenge", "survival")


class Events:
    def __init__(self, *, cvars: Cvars, log: Log) -> None:
        self._cvars = cvars
        self._log = log
        self._run = os.urandom(4).hex()
        self._count = 0

    @property
    def mode(self) -> str:
        """The mode that the game's own is made of."""
        chosen = self._cvars.text("mp_gamemode")
        return chosen if chosen in _BASES else "coop"

    def tell(self, name: str, map_name: str, *fields: object) -> None:
        if not self._has_script():
            return
        self._count += 1
        text = "\t".join([name, map_name, self.mode, *map(str, fields)])
        lines = [*self._kept(), f"{self._run}-{self._count}\t{text}"][-_KEPT:]
        with contextlib.suppress(OSError):
            os.makedirs(_FOLDER, exist_ok=True)
            with open(_FILE, "w", encoding="utf-8") as file:
                file.write("".join(f"{line}\n" for line in lines))
        self._log.print(f"[left4me] {text}\n")

    def end_of_campaign(self, map_name: str) -> None:
        name = {"versus": "versus_match_finished", "scavenge": "scavenge_match_finished"}.get(self.mode, "finale_win")
        self.tell("round_end" if self.mode == "survival" else name, map_name)

    def _has_script(self) -> bool:
        try:
            with open(_SCRIPT, encoding="utf-8", errors="replace") as file:
                return "left4me_events.txt" in file.read()
        except OSError:
            return False

    def _kept(self) -> list[str]:
        try:
            with open(_FILE, encoding="utf-8", errors="replace") as file:
                return file.read().splitlines()
        except OSError:
            return []
