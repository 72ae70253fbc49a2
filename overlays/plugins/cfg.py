"""Reads and rewrites the cfg files of plugins, in which SourceMod writes cvars with their help above each.

A comment above a cvar is its description, up to a line “-”; then follow “Default”, “Minimum” and “Maximum”. Files that
people wrote have less of that, and any other commands: only lines of a name and one value are cvars.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

FOLDER: Final = ("left4dead2", "cfg", "sourcemod")
SUFFIX: Final = ".cfg"
LARGEST: Final = 256 * 1024
MOST: Final = 500
LONGEST_VALUE: Final = 255
# A name may begin with a digit, and have a dash: “200IQBots_Range”, “fmc+vs-l4d2_enable”.
_CVAR: Final = r"(?=[\w.+-]*[A-Za-z_])[A-Za-z0-9_][\w.+-]{0,99}"
_LINE: Final = re.compile(rf'^(\s*)({_CVAR})(\s+)("[^"\n]*"|[^\s"/;][^\s";]*)(\s*(?://.*)?)$')
_LIMIT: Final = re.compile(r'^(Default|Minimum|Maximum): *"?(.*?)"?$')
_HEAD: Final = ("This file was auto-generated", "ConVars for plugin")
_PLUGIN: Final = re.compile(r'^// ConVars for plugin "([^"\n]{1,200})"', re.MULTILINE)
# What starts a line like a cvar, but does something.
_COMMANDS: Final = frozenset(
    ["exec", "sm", "meta", "rcon", "alias", "say", "echo", "map", "changelevel", "quit", "exit"]
)
_LONGEST_TEXT: Final = 1000


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A cvar in a file. Limits are None where the file names none."""

    name: str
    value: str
    description: str = ""
    default: str | None = None
    minimum: float | None = None
    maximum: float | None = None


def read(text: str) -> dict[str, Setting]:
    """The cvars by name; of one that is set twice, the last. At most MOST."""
    found: dict[str, Setting] = {}
    comment: list[str] = []
    for line in text.splitlines():
        plain = line.strip()
        if plain.startswith("//"):
            comment.append(plain.removeprefix("//").strip())
        elif match := _matched(line):
            if match[2] in found or len(found) < MOST:
                found[match[2]] = _setting(match[2], _unquoted(match[4]), comment)
            comment = []
        else:
            comment = []
    return found


def plugin_of(text: str) -> str:
    """The file of the plugin that a generated file is for, or an empty text."""
    found = _PLUGIN.search(text)
    return found[1] if found else ""


def render(text: str, values: Mapping[str, str]) -> str:
    """The text with these values; what it lacks is added at its end."""
    left = dict(values)
    lines = []
    for line in text.splitlines():
        match = _matched(line)
        if match and match[2] in values:
            left.pop(match[2], None)
            line = f'{match[1]}{match[2]}{match[3]}"{values[match[2]]}"{match[5]}'
        lines.append(line)
    lines += [f'{name} "{value}"' for name, value in sorted(left.items())]
    return "\n".join(lines) + "\n"


def problem(setting: Setting, value: str) -> str | tuple[float | None, float | None]:
    """Why a value cannot be: `text` for its characters, `number` for what is none, or the limits; empty if it can."""
    if len(value) > LONGEST_VALUE or '"' in value or not value.isprintable():
        return "text"
    if setting.minimum is None and setting.maximum is None:
        return ""
    try:
        number = float(value)
    except ValueError:
        return "number"
    is_below = setting.minimum is not None and number < setting.minimum
    is_above = setting.maximum is not None and number > setting.maximum
    return (setting.minimum, setting.maximum) if is_below or is_above or number != number else ""


def _matched(line: str) -> re.Match[str] | None:
    match = _LINE.match(line)
    return match if match and match[2].lower() not in _COMMANDS else None


def _unquoted(text: str) -> str:
    return text.strip('"')


def _setting(name: str, value: str, comment: list[str]) -> Setting:
    limits: dict[str, str] = {}
    description = []
    for line in comment:
        if match := _LIMIT.match(line):
            limits[match[1]] = match[2]
        elif line not in ("-", "") and not line.startswith(_HEAD):
            description.append(line)
    return Setting(
        name=name,
        value=value,
        description="\n".join(description)[:_LONGEST_TEXT],
        default=limits.get("Default"),
        minimum=_number(limits.get("Minimum")),
        maximum=_number(limits.get("Maximum")),
    )


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if abs(number) < 1e12 else None
