"""Settings of identity in the lines of a server.cfg: reading them, and changing them where they stand.

Everything else of the text stays as it is, to the byte: comments, blank lines, the order, and the ends of lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from servers.blueprints.checks import left_out, parse
from servers.blueprints.checks.grammar import Parsed
from servers.identity import cvars

_LINE = re.compile(r"([^\r\n]*)(\r\n|\r|\n|\Z)")
# Values of these characters need no quotes.
_PLAIN = re.compile(r"[A-Za-z0-9_.,@-]+\Z")


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """One command that sets one of these settings."""

    name: str
    value: str
    line: int  # counted from 1


@dataclass(frozen=True)
class _Line:
    number: int
    start: int  # where its first word may begin
    end: int
    next: int  # where the next line begins
    commands: list[Parsed]


def assignments(text: str) -> list[Assignment]:
    """The commands of a cfg that set one of these settings, in order. The last one of a name wins."""
    return [
        Assignment(name=_name(command), value=value_of(command), line=line.number)
        for line in _lines(text)
        for command in line.commands
        if sets_identity(command)
    ]


def values(text: str) -> dict[str, str]:
    """The values that hold after the cfg, by name."""
    return {each.name: each.value for each in assignments(text)}


def edit(text: str, changes: Mapping[str, str | None]) -> str:
    """The text with these values; None removes a setting.

    The last command of a name gets the new value, and a name without one is added as a line at the end.
    """
    for name, value in changes.items():
        text = _remove(text, name) if value is None else _set(text, name, value)
    return text


def split(lines: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The effective lines of a cfg without these settings, and the values of these settings."""
    rest: list[str] = []
    found: dict[str, str] = {}
    for line in lines:
        others = []
        for command in parse(line):
            if sets_identity(command):
                found[_name(command)] = value_of(command)
            else:
                others.append(command.text)
        if others:
            rest.append("; ".join(others))
    return rest, found


def sets_identity(command: Parsed) -> bool:
    """Whether a command sets one of these settings, rather than printing it or being left out."""
    return _name(command) in cvars.BY_NAME and len(command.words) > 1 and not left_out(command)


def value_of(command: Parsed) -> str:
    """What the command assigns: the engine takes all words after the name."""
    return " ".join(command.words[1:])


def _name(command: Parsed) -> str:
    return command.words[0].lower()


def _lines(text: str) -> Iterator[_Line]:
    """The lines as `config_lines` counts them, with their places in the text."""
    for number, match in enumerate(_LINE.finditer(text), start=1):
        content, at = match[1], match.start()
        if number == 1 and content.startswith("\ufeff"):
            content, at = content[1:], at + 1
        blanks = len(content) - len(content.lstrip(" \t"))
        yield _Line(number, at + blanks, match.end(1), match.end(), parse(content.strip(" \t")))
        if not match[2]:
            return


def _set(text: str, name: str, value: str) -> str:
    places = [
        (line.start + command.places[1][0], line.start + command.places[-1][1])
        for line in _lines(text)
        for command in line.commands
        if sets_identity(command) and _name(command) == name
    ]
    if not places:
        ending = "\r\n" if "\r\n" in text else "\n"
        if text.endswith(("\n", "\r")):
            return f'{text}{name} "{value}"{ending}'
        return f'{text}{ending if text else ""}{name} "{value}"'
    start, end = places[-1]
    keeps_plain = not text[start:end].startswith('"') and _PLAIN.match(value)
    return text[:start] + (value if keeps_plain else f'"{value}"') + text[end:]


def _remove(text: str, name: str) -> str:
    for line in reversed(list(_lines(text))):
        chosen = [sets_identity(command) and _name(command) == name for command in line.commands]
        if not any(chosen):
            continue
        content = text[line.start : line.end]
        if all(chosen) and not _after(content, line.commands[-1]).strip("; \t"):
            before = text[: line.start].rstrip(" \t")
            # The last line has no end: the one before it becomes the last.
            is_last = line.next == line.end
            text = re.sub(r"(\r\n|\r|\n)\Z", "", before) if is_last else before + text[line.next :]
        else:
            text = text[: line.start] + _without(content, line.commands, chosen) + text[line.end :]
    return text


def _without(content: str, commands: Sequence[Parsed], chosen: Sequence[bool]) -> str:
    """The content of a line without the chosen commands and the semicolons after them."""
    for at in reversed(range(len(commands))):
        if not chosen[at]:
            continue
        start, end = commands[at].places[0][0], commands[at].places[-1][1]
        if at + 1 < len(commands):
            end = commands[at + 1].places[0][0]
        elif at > 0 and not all(chosen[:at]):
            start = commands[at - 1].places[-1][1]
        rest = content[end:]
        content = content[:start] + (rest.lstrip("; \t") if start == 0 else rest)
    return content


def _after(content: str, command: Parsed) -> str:
    return content[command.places[-1][1] :]
