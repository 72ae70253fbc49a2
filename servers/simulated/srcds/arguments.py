"""The command line of srcds: `-switch [value]` for the program, `+command words…` for the console."""

from __future__ import annotations

from .grammar import quoted


class Arguments:
    """The parsed command line."""

    def __init__(self, argv: list[str]) -> None:
        self.switches: dict[str, str] = {}
        self.commands: list[str] = []
        pending = ""
        for word in argv:
            if word.startswith("+") and len(word) > 1:
                self.commands.append(word[1:])
                pending = "command"
            elif word.startswith("-") and not _is_number(word):
                pending = word[1:].lower()
                self.switches[pending] = ""
            elif pending == "command":
                self.commands[-1] += " " + quoted(word)
            elif pending:
                self.switches[pending] = word
                pending = ""

    def has(self, switch: str) -> bool:
        return switch in self.switches

    def text(self, switch: str, default: str) -> str:
        return self.switches.get(switch) or default

    def number(self, switch: str, default: int) -> int:
        value = self.switches.get(switch, "")
        return int(value) if _is_number(value) else default


def _is_number(word: str) -> bool:
    return word.lstrip("-").isdecimal()
