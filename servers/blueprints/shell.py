"""Reads pasted shell and batch text: start scripts, units, panel templates. It knows words, not their meaning.

Nothing is executed. Variables are replaced where the text itself assigns them; what remains unknown becomes a
placeholder, which is shown by its own name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

# A placeholder is its source between two characters of the private use area, which no word of a script contains.
_OPEN, _CLOSE = "\ue000", "\ue001"
_PLACEHOLDER = re.compile(f"{_OPEN}([^{_CLOSE}]*){_CLOSE}")

_ASSIGNMENT = re.compile(
    r"""^\s*(?:export\s+|local\s+|readonly\s+|declare\s+(?:-\w+\s+)?|set\s+|env\s+)?["']?
        ([A-Za-z_]\w*)=("[^"]*"|'[^']*'|[^\s"';&|]*)["']?\s*;?\s*$""",
    re.VERBOSE | re.IGNORECASE,
)
_WITH_DEFAULT = re.compile(r"\$\{([A-Za-z_]\w*):?[-=]([^{}]*)\}")
_KNOWN = re.compile(r"\$\{([A-Za-z_]\w*)\}|\$([A-Za-z_]\w*)|\{\{\s*([A-Za-z_][\w.]*)\s*\}\}|%([A-Za-z_]\w*)%")
_UNKNOWN = re.compile(
    r"""\$\{[^{}]*\}|\$\([^()]*\)|\$[A-Za-z_]\w*|\$[@*#?0-9]|\{\{[^{}]*\}\}|%[A-Za-z_]\w*%|%~?\w+|`[^`]*`
        |<[A-Za-z][^<>|&;]*>|(?<!\S)\{[A-Za-z_]\w*\}(?!\S)""",
    re.VERBOSE,
)
_CONTINUED = re.compile(r"[ \t]*(?:(?<!\\)\\|\^)[ \t]*\r?\n[ \t]*|[ \t]+`[ \t]*\r?\n[ \t]*")
# What word processors and web pages make of a sign.
_TYPOGRAPHY = str.maketrans({"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "\u00a0": " ", "\ufeff": " "})
_DASHES = re.compile(r"(?<!\S)[\u2010-\u2015\u2212](?=[A-Za-z])")
_MOST_EXPANSIONS = 4
# What values add to one line. Variables that hold each other twice would grow without end.
_LONGEST_EXPANSION = 4_000


@dataclass(frozen=True)
class Line:
    """One line of the text: its number, the words of each of its commands, and the comment that ends it."""

    number: int
    commands: tuple[tuple[str, ...], ...]
    comment: str
    text: str


def lines(text: str) -> list[Line]:
    """Every line with its words. A line that is continued by a backslash or a caret counts as its first one."""
    plain = _DASHES.sub("-", text.replace("\r\n", "\n").replace("\r", "\n").translate(_TYPOGRAPHY))
    values = _assigned(plain)
    found = []
    for number, line in _joined(plain):
        prepared = _with_placeholders(_expanded(line, values))
        commands, comment = _words(prepared)
        found.append(Line(number, commands, comment, line))
    return found


def assignments(text: str) -> dict[str, str]:
    """The last value that a text assigns to each variable, by its name in lower case, as it is written there."""
    values = {}
    for _number, line in _joined(text.replace("\r\n", "\n")):
        if match := _ASSIGNMENT.match(line):
            values[match.group(1).lower()] = match.group(2).strip("\"'")
    return values


def nested(word: str) -> list[Line]:
    """The lines of a word that holds a command of its own, such as the one after `bash -c`."""
    found = []
    # LinuxGSM's startparameters="-game left4dead2 …" is one word.
    for line in re.sub(r"^\w+=", "", word).rstrip(",; )").split("\n"):
        commands, comment = _words(line)
        found.append(Line(1, commands, comment, line))
    return found


def has_placeholder(word: str) -> bool:
    return _OPEN in word


def shown(word: str) -> str:
    """The word with its placeholders as they stood in the text."""
    return _PLACEHOLDER.sub(lambda match: match.group(1), word)


def _joined(text: str) -> Iterator[tuple[int, str]]:
    number, pending, first = 0, "", 1
    for raw in text.split("\n"):
        number += 1
        pending, first = (pending, first) if pending else ("", number)
        joined = pending + raw
        if _CONTINUED.search(joined + "\n"):
            # One blank before: an option must not grow together with the word of the next line.
            pending = _CONTINUED.sub(" ", joined + "\n") or " "
            continue
        yield first, joined
        pending = ""
    if pending:
        yield first, pending


def _assigned(text: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for _number, line in _joined(text):
        for part in re.split(r"[;&]{1,2}(?=\s*(?:export|set)\b)", line):
            if match := _ASSIGNMENT.match(part):
                values[match.group(1).lower()] = _expanded(match.group(2).strip("\"'"), values)
    return values


def _expanded(line: str, values: dict[str, str]) -> str:
    """The line with the values of its variables. Those for which there is no more room stay as they are."""
    room = _LONGEST_EXPANSION

    def fitting(match: re.Match[str], value: str) -> str:
        nonlocal room
        growth = len(value) - len(match.group(0))
        if growth > room:
            return match.group(0)
        room -= growth
        return value

    for _time in range(_MOST_EXPANSIONS):
        before = line
        line = _WITH_DEFAULT.sub(lambda match: fitting(match, values.get(match[1].lower()) or match[2]), line)
        line = _KNOWN.sub(lambda match: fitting(match, values.get(_name_in(match).lower(), match[0])), line)
        if line == before:
            break
    return line


def _name_in(match: re.Match[str]) -> str:
    name: str = next(filter(None, match.groups()))
    return name


def _with_placeholders(line: str) -> str:
    return _UNKNOWN.sub(lambda match: _OPEN + match.group(0).replace(" ", "_").replace('"', "") + _CLOSE, line)


def _words(line: str) -> tuple[tuple[tuple[str, ...], ...], str]:
    """The words of each command of a line, split as a shell does, and its comment."""
    if (as_list := _json_list(line)) is not None:
        line = as_list
    reader = _Reader()
    at = 0
    while at < len(line):
        at = reader.read(line, at)
        if at < 0:
            break
    reader.end_command()
    return tuple(reader.commands), reader.comment


def _json_list(line: str) -> str | None:
    """The words of an `ENTRYPOINT ["…", "…"]` as one line; None for any other line."""
    match = re.search(r'\[\s*".*"\s*\]', line)
    if match is None:
        return None
    try:
        words = json.loads(match.group())
    except ValueError:
        return None
    return " ".join(words) if all(isinstance(word, str) for word in words) else None


class _Reader:
    """Collects words, character by character."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, ...]] = []
        self.comment = ""
        self._command: list[str] = []
        self._word: list[str] = []
        self._in_word = False
        self._skip_next = False

    def read(self, line: str, at: int) -> int:
        """Read what begins at `at`. Returns where to go on, -1 at a comment."""
        char = line[at]
        if char in "\"'":
            return self._quoted(line, at)
        if char == "\\" and line[at + 1 : at + 2] in {'"', "'", " "}:
            self._add(line[at + 1])
            return at + 2
        if char in " \t":
            self._end_word()
        elif not self._in_word and (char == "#" or line.startswith("//", at)):
            self.comment = line[at:].lstrip("#/ \t")
            return -1
        elif char in "><":
            return self._redirection(line, at)
        elif char in ";&|":
            self.end_command()
        else:
            self._add(char)
        return at + 1

    def end_command(self) -> None:
        self._end_word()
        if self._command:
            self.commands.append(tuple(self._command))
            self._command = []
        self._skip_next = False

    def _quoted(self, line: str, at: int) -> int:
        quote, end = line[at], at + 1
        # An apostrophe inside of a word (Anna's) opens no quote.
        if quote == "'" and (self._in_word or line.find("'", end) < 0):
            self._add(quote)
            return end
        self._in_word = True
        while end < len(line) and line[end] != quote:
            if quote == '"' and line[end] == "\\" and line[end + 1 : end + 2] == '"':
                end += 1
            self._add(line[end])
            end += 1
        return end + 1

    def _redirection(self, line: str, at: int) -> int:
        if "".join(self._word).isdigit():
            self._word, self._in_word = [], False
        self._end_word()
        while at < len(line) and line[at] in ">&< \t":
            at += 1
        self._skip_next = True
        return at

    def _add(self, char: str) -> None:
        self._word.append(char)
        self._in_word = True

    def _end_word(self) -> None:
        if not self._in_word:
            return
        if not self._skip_next:
            self._command.append("".join(self._word))
        self._word, self._in_word, self._skip_next = [], False, False
