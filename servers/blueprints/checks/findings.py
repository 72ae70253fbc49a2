"""Applies the rules to a text. Each finding names one fault and its line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from django.utils.translation import gettext as _

from servers.blueprints.checks import grammar, known, rules

MOST_LINES = 1000


class Severity(StrEnum):
    REFUSED = "refused"
    WARNED = "warned"


@dataclass(frozen=True, kw_only=True)
class Finding:
    field: str  # "arguments" or "config"
    line: int  # counted from 1
    severity: Severity
    message: str

    def __str__(self) -> str:
        return _("Line %(line)d: %(message)s") % {"line": self.line, "message": self.message}


_Fault = tuple[Severity, str]


def check(*, arguments: str, config: str) -> list[Finding]:
    """All findings of a blueprint's two texts, in order."""
    return [*check_arguments(arguments), *check_config(config)]


def check_arguments(text: str) -> list[Finding]:
    return _check_lines("arguments", text, _argument_line)


def check_config(text: str) -> list[Finding]:
    return _check_lines("config", text, _config_line)


def _check_lines(field: str, text: str, check_line: Callable[[str], Iterator[_Fault]]) -> list[Finding]:
    lines = grammar.config_lines(text)
    if len(lines) > MOST_LINES:
        message = _("There are more than %d lines.") % MOST_LINES
        return [Finding(field=field, line=MOST_LINES + 1, severity=Severity.REFUSED, message=message)]
    findings = []
    for number, line in enumerate(lines, start=1):
        try:
            faults = list(check_line(line))
        except grammar.Malformed as fault:
            faults = [(Severity.REFUSED, str(fault))]
        findings += [Finding(field=field, line=number, severity=severity, message=text) for severity, text in faults]
    return findings


def _config_line(line: str) -> Iterator[_Fault]:
    commands = grammar.commands(line)
    if not line.isascii():
        yield Severity.WARNED, _("Not all characters are ASCII; some builds of the game break such lines.")
    if "://" in line and not any("://" in word for command in commands for word in command):
        yield (
            Severity.WARNED,
            _("// begins a comment here: put the address into quotation marks."),
        )
    for command in commands:
        yield from _command(command)


def _argument_line(line: str) -> Iterator[_Fault]:
    words = grammar.argument_words(line)
    if not line.isascii():
        yield Severity.WARNED, _("Not all characters are ASCII; some builds of the game break such lines.")
    for sign_and_name, *values in grammar.argument_options(words):
        name = sign_and_name[1:].lower()
        if name in rules.REFUSED_OPTIONS:
            yield Severity.REFUSED, f"{sign_and_name}: {rules.REFUSED_OPTIONS[name]}"
        elif sign_and_name.startswith("+"):
            yield from _command((name, *values), is_argument=True)
        if name == "maxplayers" and values and values[0].isdigit() and int(values[0]) > 8:
            yield Severity.WARNED, _("More than 8 players need the L4DToolZ extension in an overlay.")


def _command(command: grammar.Command, *, is_argument: bool = False) -> Iterator[_Fault]:
    name = command[0].lower()
    if reason := _refusal(command):
        yield Severity.REFUSED, f"{command[0]}: {reason}"
    elif name in rules.WARNED_COMMANDS and not (is_argument and name in {"map", "hostname"}):
        yield Severity.WARNED, str(rules.WARNED_COMMANDS[name])
    elif known.needs_sourcemod(name):
        yield (
            Severity.WARNED,
            _("%(name)s is a cheat or hidden and has no effect here. With SourceMod: sm_cvar %(name)s …")
            % {"name": name},
        )
    elif not known.is_known(name.lstrip("+-")):
        yield Severity.WARNED, _unknown(command[0])


def _refusal(command: grammar.Command) -> str:
    words = tuple(word.lower() for word in command)
    # Wrappers can be nested: sm_cvar sm_cvar rcon_password x.
    while words and words[0] in rules.WRAPPERS:
        words = words[1:]
    if not words:
        return ""
    # `+name` in a cfg is how the engine presses a button; srcds also takes it for the command of that name.
    name = words[0].lstrip("+-")
    if name == "exec" and len(words) == 2 and words[1] in rules.ALLOWED_EXECS:
        return ""
    if name in rules.REFUSED_COMMANDS:
        return str(rules.REFUSED_COMMANDS[name])
    for phrase, reason in rules.REFUSED_PHRASES.items():
        if (name, *words[1:])[: len(phrase)] == phrase:
            return str(reason)
    return next((str(reason) for prefix, reason in rules.REFUSED_PREFIXES.items() if name.startswith(prefix)), "")


def _unknown(name: str) -> str:
    nearest = known.nearest(name.lower())
    if nearest:
        return _("The stock game knows no %(name)s. Is %(nearest)s meant?") % {"name": name, "nearest": nearest}
    return _("The stock game knows no %s. Does a plugin bring it?") % name
