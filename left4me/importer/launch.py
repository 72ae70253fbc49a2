"""Launch lines in start scripts, units, settings of LinuxGSM, eggs of panels and compose files.

Texts are read, never executed. Which servers they start is what an import creates.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

from left4me.core import numbers, texts
from left4me.core.files import walk
from left4me.core.files.tree import Parts
from left4me.importer.source import Source
from servers.blueprints import shell, translation

_SUFFIXES: Final = frozenset(["", ".sh", ".bash", ".bat", ".cmd", ".service", ".conf", ".py", ".txt", ".json"])
_LARGEST: Final = 64 * 1024
# Where the units of an operator are.
UNITS: Final = Path("/etc/systemd/system")
_MOST_SCRIPTS: Final = 40
_MOST_LAUNCHES: Final = 24
# Programs that come with the game or with tools, and which only say how a server would be started.
_NOT_OURS: Final = re.compile(
    r"(?:srcds_(?:run|linux).*|steamcmd.*|install.*|update.*|linuxgsm\.sh|readme.*|thirdparty.*)", re.IGNORECASE
)
_STARTS: Final = re.compile(r"srcds|-game\s+left4dead2", re.IGNORECASE)
_HIGHEST_PORT: Final = 65_535


@dataclass(frozen=True)
class Launch:
    """A launch line with the values of its variables, and what else its origin says about the server."""

    origin: str
    line: str
    name: str = ""
    cfg: str = ""
    config: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def value(self, *names: str) -> str:
        """The value of the last of these options, with either sign; empty if there is none that is known."""
        found = ""
        for line in shell.lines(self.line):
            for words in line.commands:
                for option, value in itertools.pairwise(words):
                    is_option = option[:1] in ("+", "-") and option[1:].lower() in names
                    if is_option and not shell.has_placeholder(value) and value[:1] not in ("+", "-"):
                        found = value
        return found

    @property
    def port(self) -> int | None:
        port = numbers.whole(self.value("port", "hostport"), most=_HIGHEST_PORT)
        return port if port and port >= 1024 else None

    @property
    def cfg_file(self) -> str:
        """The cfg file that the game executes in place of server.cfg, below the cfg folder."""
        file = (self.cfg or self.value("servercfgfile")).replace("\\", "/").strip("/")
        return file.rpartition("left4dead2/cfg/")[2].removeprefix("./").removeprefix("cfg/") or "server.cfg"


def of_text(text: str, *, origin: str, **known: Any) -> list[Launch]:
    """The launch lines of a text, each once."""
    return [Launch(origin, line, **known) for line in translation.launch_lines(text)][:_MOST_LAUNCHES]


def of_machine(path: Path) -> list[Launch]:
    """The launch lines of this machine's own units that name a file below this directory."""
    found: list[Launch] = []
    with contextlib.suppress(OSError), walk.folder(UNITS, ()) as handle:
        for name, status in sorted(walk.scan(handle), key=lambda pair: pair[0]):
            if not name.endswith(".service") or not 0 < status.st_size <= _LARGEST:
                continue
            with contextlib.suppress(OSError), walk.open_file(name, at=handle) as stream:
                text = texts.decode(stream.read(_LARGEST)).text.replace("\0", "")
                if f"{path}/" in text and _STARTS.search(text):
                    found += of_text(of_unit(text), origin=str(UNITS / name))
    return _distinct(found)


def of_scripts(source: Source, folders: Iterable[Parts]) -> list[Launch]:
    """The launch lines of scripts, units and eggs in these folders."""
    found: list[Launch] = []
    for folder in dict.fromkeys(folders):
        variables = source.text((*folder, ".env"))
        for where in _scripts(source, folder):
            text = _prepared(source.text(where), where[-1], variables)
            if _STARTS.search(text):
                found += of_text(text, origin="/".join(where))
    return _distinct(found)


def _scripts(source: Source, folder: Parts) -> Iterator[Parts]:
    entries = [entry for entry in source.list(folder) if entry.kind == "file" and entry.size <= _LARGEST]
    number = 0
    for entry in entries:
        name = entry.where[-1]
        suffix = PurePosixPath(name).suffix.lower()
        if suffix not in _SUFFIXES or _NOT_OURS.fullmatch(name) or name.startswith("."):
            continue
        # A file without a suffix is a script if it may be executed.
        if suffix == "" and not entry.is_marked:
            continue
        number += 1
        if number > _MOST_SCRIPTS:
            return
        yield entry.where


def _prepared(text: str, name: str, variables: str) -> str:
    """A script as text whose assignments the translation understands."""
    if name.endswith(".json"):
        return _of_egg(text, variables)
    if name.endswith(".service"):
        return of_unit(text)
    return f"{variables}\n{text}" if variables else text


def of_unit(text: str) -> str:
    """A systemd unit, with the variables that it sets as assignments."""
    lines = []
    for line in text.splitlines():
        key, _equals, value = line.strip().partition("=")
        if key == "Environment":
            lines += _split(value)
        else:
            lines.append(line)
    return "\n".join(lines)


def _split(value: str) -> list[str]:
    try:
        return [f'{name}="{text}"' for name, _, text in (word.partition("=") for word in shlex.split(value))]
    except ValueError:
        return []


def _of_egg(text: str, variables: str) -> str:
    """The startup command of an exported egg, or of a server as a panel's API describes it, with its variables."""
    try:
        egg = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(egg, dict):
        return ""
    # Pelican writes several commands by name.
    commands = egg.get("startup_commands")
    startup = egg.get("startup") or (next(iter(commands.values()), "") if isinstance(commands, dict) else "")
    assigned = [
        f'{each["env_variable"]}="{each.get("server_value") or each.get("default_value") or ""}"'
        for each in egg.get("variables") or ()
        if isinstance(each, dict) and isinstance(each.get("env_variable"), str)
    ]
    return "\n".join([*assigned, variables, str(startup)])


def _distinct(found: list[Launch]) -> list[Launch]:
    """Each launch once, the first that was found."""
    unique: dict[tuple[str, int | None], Launch] = {}
    for launch in found:
        unique.setdefault((launch.line, launch.port), launch)
    return list(unique.values())[:_MOST_LAUNCHES]
