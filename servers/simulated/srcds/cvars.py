"""Console variables: the stock ones, and those that tune the simulation."""

from __future__ import annotations

import os
import sys

from .grammar import number_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_TABLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cvars.txt")


class Cvar:
    __slots__ = ("default", "flags", "help", "name", "on_write", "value")

    def __init__(self, name: str, default: str, flags: str, help_text: str) -> None:
        self.name = sys.intern(name)
        self.value = self.default = default
        self.flags = flags
        self.help = help_text
        self.on_write: Callable[[], None] | None = None

    def write(self, value: str) -> None:
        """Assign. The hook runs on every write, also of the same value: the engine's rcon_password does."""
        self.value = value
        if self.on_write is not None:
            self.on_write()

    @property
    def number(self) -> float:
        return number_of(self.value)

    def described(self) -> str:
        lines = [f'"{self.name}" = "{self.value}"']
        if self.value != self.default:
            lines[0] += f' ( def. "{self.default}" )'
        if self.flags:
            lines.append(" " + " ".join(self.flags.split(",")))
        if self.help:
            lines.append(f" - {self.help}")
        return "\n".join(lines) + "\n"


class Cvars:
    """All variables by lower-case name. `SIM_CHUNK=1000` in the environment sets `sim_chunk` before anything runs."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._all: dict[str, Cvar] = {}
        with open(_TABLE, encoding="utf-8") as table:
            for line in table:
                if line.strip() and not line.startswith("#"):
                    name, default, flags, help_text = (part.strip() for part in line.split("|"))
                    self._all[name] = Cvar(name, default, flags, help_text)
        for name, value in environment.items():
            if name.startswith("SIM_") and name.lower() in self._all:
                self._all[name.lower()].value = value

    def __iter__(self) -> Iterator[Cvar]:
        return iter(sorted(self._all.values(), key=lambda cvar: cvar.name))

    def make(self, name: str, default: str, help_text: str = "") -> None:
        """Add a variable, as a plugin does, unless it is there."""
        self._all.setdefault(name.lower(), Cvar(name, default, "", help_text))

    def find(self, name: str) -> Cvar | None:
        return self._all.get(name.lower())

    def __getitem__(self, name: str) -> Cvar:
        return self._all[name]

    def text(self, name: str) -> str:
        return self._all[name].value

    def number(self, name: str) -> float:
        return self._all[name].number

    def on(self, name: str) -> bool:
        return self._all[name].number != 0
