"""The console: runs command lines, assigns variables, executes cfg files."""

from __future__ import annotations

import os

from .cvars import Cvars
from .grammar import LONGEST_COMMAND, Command, split_commands
from .log import Log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_DEEPEST_EXEC = 16
_MOST_COMMANDS = 20_000
_GAME = "left4dead2"


class Console:
    """Commands by lower-case name; a name that is no command is an alias, then a variable, then unknown."""

    def __init__(self, *, cvars: Cvars, log: Log) -> None:
        self.cvars = cvars
        self.log = log
        self.commands: dict[str, Callable[[Command], None]] = {}
        self.aliases: dict[str, str] = {}
        self._depth = 0
        self._left = _MOST_COMMANDS

    def add(self, group: object) -> None:
        """Add a group of commands: every method `do_x` is command `x`."""
        for attribute in dir(group):
            if attribute.startswith("do_"):
                self.commands[attribute[3:]] = getattr(group, attribute)

    def run(self, text: str) -> None:
        """Run every command of `text`, in order."""
        if self._depth == 0:
            self._left = _MOST_COMMANDS
        for line in split_commands(text):
            self._left -= 1
            if self._left < 0:
                # Aliases and files that call each other twice over would never end.
                return
            if len(line) > LONGEST_COMMAND:
                self.log.print(
                    "CCommand::Tokenize: Encountered command which overflows the tokenizer buffer.. Skipping!\n"
                )
            else:
                self._run_line(line)

    def taken(self, text: str) -> str:
        """Run `text` and return what it printed, instead of printing it."""
        outer, self.log.taker = self.log.taker, []
        try:
            self.run(text)
            return "".join(self.log.taker)
        finally:
            self.log.taker = outer

    def exec_file(self, name: str, *, quiet: bool = False) -> bool:
        """Run cfg file `name`, with or without its suffix, from the game's cfg directory."""
        path = name if name.endswith((".cfg", ".rc")) else name + ".cfg"
        if ".." in path or path.startswith("/"):
            self.log.print(f"exec {path}: invalid path.\n")
            return False
        try:
            with open(f"{_GAME}/cfg/{path}", "rb") as file:
                text = file.read().decode("utf-8", "surrogateescape")
        except OSError:
            if not quiet:
                self.log.print(f"'{path}' not present; not executing.\n")
            return False
        if self._depth >= _DEEPEST_EXEC:
            self.log.print(f"exec {path}: too deep, not executing.\n")
            return False
        self._depth += 1
        try:
            if not quiet:
                self.log.print(f"execing {path}\n")
            self.run(text)
        finally:
            self._depth -= 1
        return True

    def write_file(self, name: str, text: str) -> None:
        """Write a cfg file, as writeid does. A tree that cannot be written prints what the engine prints."""
        path = f"{_GAME}/cfg/{name}"
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        except OSError:
            self.log.print(f"Couldn't write {name}.\n")

    def _run_line(self, line: str) -> None:
        command = Command(line)
        name = command.name.lower()
        handler = self.commands.get(name)
        if handler is not None:
            handler(command)
        elif name in self.aliases:
            self._run_alias(name)
        else:
            self._touch_variable(command)

    def _run_alias(self, name: str) -> None:
        if self._depth >= _DEEPEST_EXEC:
            return
        self._depth += 1
        try:
            self.run(self.aliases[name])
        finally:
            self._depth -= 1

    def _touch_variable(self, command: Command) -> None:
        cvar = self.cvars.find(command.name)
        if cvar is None:
            self.log.print(f'Unknown command "{command.name}"\n')
        elif command.rest:
            cvar.write(command.value)
        else:
            self.log.print(cvar.described())
