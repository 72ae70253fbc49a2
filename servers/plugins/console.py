"""What a running game says of its plugins: `sm plugins list`, matched with the files, and `sm version`.

The list names a plugin by its title, and by its file only where it failed. Titles come from the files, so that the
line of each file is known; where several files have the same one, or none, the game is asked by number. Packs that
bring a copy of each plugin for each of their modes have many of these.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from overlays.plugins.finder import Plugin

Ask = Callable[[str], str]

_HEAD: Final = re.compile(r"^\[SM\] Listing (\d+) plugins?:")
_ENTRY: Final = re.compile(r"^ *(\d{1,5})(?: <([^<>]{1,20})>)?(?: (Disabled):)? *(\S.*)$")
_ERROR: Final = re.compile(r"^(.+?\.smx)(?: \((.*?)\))?: (.+)$")
_FILE: Final = re.compile(r"^ *Filename: (.+)$", re.MULTILINE)
_VERSION: Final = re.compile(r"SourceMod Version: *(\S+)")
_NOTHING: Final = "[SM] No plugins loaded"
# SourceMod cuts a longer line off.
_CUT_AT: Final = 240
_MOST_ASKED: Final = 120
# In one packet, which the game answers in this order.
_ASKED_AT_ONCE: Final = 8
_LONGEST: Final = 300


class NoSourceMod(Exception):
    """The game does not know SourceMod's commands."""


@dataclass(frozen=True)
class Entry:
    """A line of the list. `status` is empty for a plugin that runs; `text` is what follows the number."""

    number: int
    status: str
    text: str


@dataclass(frozen=True)
class Loaded:
    """A plugin that SourceMod has loaded, or failed to load. The number is its place in the order of loading."""

    number: int
    status: str = ""
    error: str = ""

    @property
    def is_running(self) -> bool:
        return not self.status

    def facts(self) -> dict[str, Any]:
        return {"number": self.number, "status": self.status, "error": self.error}


def parse(answer: str) -> tuple[list[Entry], dict[str, str]]:
    """The lines of `sm plugins list`, and why plugins failed, by file. Raises NoSourceMod."""
    lines = answer.replace("\r", "").split("\n")
    start = next((number for number, line in enumerate(lines) if _HEAD.match(line)), None)
    if start is None:
        if any(line.startswith(_NOTHING) for line in lines):
            return [], {}
        raise NoSourceMod(answer.strip()[:_LONGEST])
    entries: list[Entry] = []
    errors: dict[str, str] = {}
    has_errors = False
    for line in lines[start + 1 :]:
        if line.strip() == "Errors:":
            has_errors = True
        elif has_errors and (match := _ERROR.match(line)):
            errors[match[1]] = match[3].strip()[:_LONGEST]
        elif not has_errors and (match := _ENTRY.match(line)):
            entries.append(Entry(int(match[1]), match[2] or match[3] or "", match[4].strip()))
    return entries, errors


def version(ask: Ask) -> str:
    """SourceMod's version, or an empty text."""
    found = _VERSION.search(ask("sm version"))
    return found[1][:40] if found else ""


def read(ask: Ask, plugins: Sequence[Plugin]) -> dict[str, Loaded]:
    """What the game has loaded, by path. Raises NoSourceMod and RconError."""
    entries, errors = parse(ask("sm plugins list"))
    by_text: dict[str, list[str]] = {}
    for plugin in plugins:
        by_text.setdefault(_listed(plugin), []).append(plugin.path)
        by_text.setdefault(plugin.path, []).append(plugin.path)
    paths: dict[str, Entry] = {}
    unclear: list[Entry] = []
    for entry in entries:
        candidates = _candidates(entry, by_text)
        # A failed one of the same title is named by its file below.
        if len(candidates) == 1 and candidates[0] not in paths:
            paths[candidates[0]] = entry
        else:
            unclear.append(entry)
    paths |= _asked(ask, unclear[:_MOST_ASKED])
    return {
        path: Loaded(entry.number, entry.status, errors.get(path, "") if entry.status else "")
        for path, entry in paths.items()
    }


def _asked(ask: Ask, entries: Sequence[Entry]) -> dict[str, Entry]:
    """These entries by the paths that the game tells."""
    found: dict[str, Entry] = {}
    for start in range(0, len(entries), _ASKED_AT_ONCE):
        some = entries[start : start + _ASKED_AT_ONCE]
        paths = _FILE.findall(ask(";".join(f"sm plugins info {entry.number}" for entry in some)))
        # One that was unloaded meanwhile has no answer, and then the others cannot be told apart.
        if len(paths) == len(some):
            found |= zip((path.strip() for path in paths), some, strict=True)
    return found


def _candidates(entry: Entry, by_text: dict[str, list[str]]) -> list[str]:
    text = _plain(entry.text)
    if exact := by_text.get(text):
        return exact
    if len(text.encode()) < _CUT_AT:
        return []
    return [path for whole, paths in by_text.items() if whole.startswith(text) for path in paths]


def _listed(plugin: Plugin) -> str:
    info = plugin.info
    line = f'"{info.name or plugin.path}"'
    line += f" ({info.version})" if info.version else ""
    line += f" by {info.author}" if info.author else ""
    return _plain(line)


def _plain(text: str) -> str:
    """As `smx` makes texts, which are compared with what the game prints of them."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())
