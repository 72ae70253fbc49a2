"""Launch lines and cfg files as the texts of a blueprint: what cannot be saved is taken out, and listed."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Final

from django.utils.translation import gettext as _

from left4me.core import names
from left4me.core.lines import LONGEST_LINE
from left4me.core.rows import storable
from left4me.importer.launch import Launch
from left4me.importer.plan import ServerPlan
from servers.blueprints import checks, translation
from servers.blueprints.checks import Severity
from servers.blueprints.checks.findings import MOST_LINES

_NOT_PLAIN: Final = re.compile(r'["\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]+')
_MOST_ROUNDS: Final = 5


def server(launch: Launch, *, cfg: str, cfg_path: str, usual_name: str) -> ServerPlan:
    """The server of a launch line, with the text of the cfg file that it executes."""
    name, config = _without_hostname(cfg)
    config = "\n".join([*filter(None, [config.rstrip()]), *launch.config])
    translated = translation.translate(arguments=_one_file(launch), config=config)
    hostname = _hostname_of(translated.arguments)
    # Without the numbers of lines: those of the launch line and of the cfg are not those of their files.
    notes = [note.message for note in translated.notes]
    arguments = "\n".join(line for line in translated.arguments.split("\n") if not _sets_hostname(line))
    arguments, config = _without_refused(arguments, translated.config, notes)
    known = launch.name or name or hostname
    return ServerPlan(
        origin=launch.origin,
        name=plain_name(known) or plain_name(usual_name) or "Imported",
        port=launch.port,
        arguments=arguments.strip(),
        config=storable(config.strip(), len(config)),
        config_from=cfg_path,
        notes=[note[:LONGEST_LINE] for note in dict.fromkeys([*launch.notes, *notes])],
    )


def _one_file(launch: Launch) -> str:
    """The launch line without the cfg file whose lines become those of the blueprint."""
    return re.sub(r"""[+-]servercfgfile\s+(?:"[^"]*"|\S+)""", "", launch.line, flags=re.IGNORECASE)


def plain_name(text: str) -> str:
    """A name as rows take it: one line without quotation marks."""
    return " ".join(_NOT_PLAIN.sub(" ", text).split())[: names.LONGEST].strip()


def _without_hostname(cfg: str) -> tuple[str, str]:
    """The name that a cfg sets, and its other lines: the name of the server takes its place."""
    name, kept = "", []
    for line in cfg.replace("\r\n", "\n").split("\n"):
        commands = checks.parse(line.strip(" \t\r\ufeff"))
        if len(commands) == 1 and commands[0].words and commands[0].words[0].lower() == "hostname":
            name = " ".join(commands[0].words[1:])
        else:
            kept.append(line)
    return name, "\n".join(kept)


def _sets_hostname(line: str) -> bool:
    return line.lower().startswith("+hostname ")


def _hostname_of(arguments: str) -> str:
    return next((line[10:].strip().strip('"') for line in arguments.split("\n") if _sets_hostname(line)), "")


def _without_refused(arguments: str, config: str, notes: list[str]) -> tuple[str, str]:
    """Both texts without the lines that a blueprint cannot have; each is noted."""
    texts = {"arguments": arguments, "config": config}
    for _round in range(_MOST_ROUNDS):
        refused = [
            finding
            for finding in checks.check(arguments=texts["arguments"], config=texts["config"])
            if finding.severity == Severity.REFUSED
        ]
        if not refused:
            break
        for field in texts:
            lines = texts[field].split("\n")
            bad = {finding.line: finding.message for finding in refused if finding.field == field}
            if bad and max(bad) > len(lines):
                bad = {number: bad[max(bad)] for number in range(MOST_LINES + 1, len(lines) + 1)}
            for number, message in sorted(bad.items())[:50]:
                notes.append(
                    _("%(file)s, line %(line)d: left out. %(why)s")
                    % {"file": _title(field), "line": number, "why": message}
                )
            texts[field] = "\n".join(line for number, line in enumerate(lines, start=1) if number not in bad)
    return texts["arguments"], texts["config"]


def _title(field: str) -> str:
    return _("Launch line") if field == "arguments" else "server.cfg"


def folded(path: str) -> str:
    """The name of a cfg file below the cfg folder, as it is compared."""
    return str(PurePosixPath(path)).lower()
