"""Applies the rules to a text. Each finding names one fault and its line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from left4me.core import numbers
from servers.blueprints.checks import grammar, known, rules

MOST_LINES = 4000


class Severity(StrEnum):
    REFUSED = "refused"
    WARNED = "warned"
    NOTED = "noted"


@dataclass(frozen=True, kw_only=True)
class Finding:
    field: str  # "arguments" or "config"
    line: int  # counted from 1
    severity: Severity
    message: str

    def __str__(self) -> str:
        return _("Line %(line)d: %(message)s") % {"line": self.line, "message": self.message}


# The names of the cfg files that the layers hold, in lower case, each with the name of its layer.
Files = Mapping[str, str]
_MOST_SLOTS = 8
_LARGEST_NUMBER = 999_999
_Fault = tuple[Severity, str]


def check(*, arguments: str, config: str, files: Files | None = None) -> list[Finding]:
    """All findings of a blueprint's two texts, in order. Without `files`, `exec` is not judged."""
    return [*check_arguments(arguments), *check_config(config, files=files)]


def check_arguments(text: str) -> list[Finding]:
    return _check_lines("arguments", text, _argument_line)


def check_config(text: str, *, files: Files | None = None) -> list[Finding]:
    findings = _check_lines("config", text, lambda line: _config_line(line, files))
    return [*findings, *_no_commands(text), *_cheats(text)]


def left_out(command: grammar.Parsed) -> str:
    """Why a command of the config is not executed; empty when it is."""
    if not command.has_name:
        return _("Not a command of the game.")
    words = rules.without_wrappers(command.words)
    if not words:
        return ""
    # `+name` in a cfg is how the engine presses a button; srcds also takes it for the command of that name.
    name = words[0].lstrip("+-")
    if name in rules.LEFT_OUT:
        return str(rules.LEFT_OUT[name])
    if name in rules.ENDS:
        return _("It would stop the game at every map. Use the server's buttons instead.")
    if name == "alias" and len(words) > 1 and words[1] in rules.NEEDED:
        return str(rules.ALIAS_REASON)
    if name == "exec" and len(words) > 1 and _cfg_name(words[1]) in rules.OWN_CFG:
        return _("server.cfg would run itself endlessly.")
    if name == "hostname" and not "".join(words[1:]).strip():
        return _("It is empty; the server keeps its name.")
    return next((str(reason) for prefix, reason in rules.LEFT_OUT_PREFIXES.items() if name.startswith(prefix)), "")


def _check_lines(field: str, text: str, check_line: Callable[[str], Iterator[_Fault]]) -> list[Finding]:
    lines = grammar.config_lines(text)
    if len(lines) > MOST_LINES:
        message = _("Use at most %d lines.") % MOST_LINES
        return [Finding(field=field, line=MOST_LINES + 1, severity=Severity.REFUSED, message=message)]
    findings = []
    for number, line in enumerate(lines, start=1):
        try:
            faults = list(check_line(line))
        except grammar.Malformed as fault:
            faults = [(Severity.REFUSED, str(fault))]
        findings += [Finding(field=field, line=number, severity=severity, message=text) for severity, text in faults]
    return findings


def _config_line(line: str, files: Files | None) -> Iterator[_Fault]:
    grammar.refuse_characters(line)
    commands = grammar.parse(line)
    for command in commands:
        grammar.refuse_length(command.text)
        if command.words[-1].lower().endswith(("http:", "https:")) and f"{command.words[-1]}//" in line:
            yield Severity.WARNED, _("// starts a comment here. Put the address in quotes.")
    for command in commands:
        if not command.has_name:
            continue
        if reason := left_out(command):
            severity = Severity.WARNED if command.words[0].lower() in rules.ENDS else Severity.NOTED
            message = _("%(name)s: ignored. %(reason)s") % {"name": command.words[0], "reason": reason}
            yield severity, message
        else:
            yield from _judge(command.words, files)


def _argument_line(line: str) -> Iterator[_Fault]:
    words = grammar.argument_words(line)
    for sign_and_name, *values in grammar.argument_options(words):
        name = sign_and_name[1:].lower()
        if name in rules.TAKEN_OUT or name == "servercfgfile":
            reason = rules.TAKEN_OUT.get(name, rules.LEFT_OUT["servercfgfile"])
            yield Severity.REFUSED, f"{sign_and_name}: {reason}"
        elif sign_and_name.startswith("+"):
            yield from _argument_command(name, values)
        elif any(grammar.is_option(word) for value in values for word in value.split()):
            yield (
                Severity.REFUSED,
                _("A value of %s would be read as another argument. Put it in quotes or remove the sign.")
                % sign_and_name,
            )
        if name == "maxplayers" and values and (numbers.whole(values[0], most=_LARGEST_NUMBER) or 0) > _MOST_SLOTS:
            yield Severity.WARNED, _("More than 8 players need the L4DToolZ extension. Add it as an overlay.")


def _argument_command(name: str, values: list[str]) -> Iterator[_Fault]:
    command = grammar.Parsed((name, *values), name)
    if name in {"map", "changelevel"}:
        split = [word for value in values for word in value.split()]
        if any(grammar.is_option(word) or grammar.SHELL.search(word) or ";" in word for word in split):
            yield Severity.REFUSED, _("“%s” is not a map name.") % " ".join(values)
    elif name == "exec":
        yield Severity.REFUSED, _("exec is not allowed here. Add it to server.cfg instead.")
    elif reason := left_out(command):
        yield Severity.REFUSED, f"+{name}: {reason}"
    else:
        yield from _judge(command.words, None)


def _judge(words: grammar.Command, files: Files | None) -> Iterator[_Fault]:
    """The warnings about a command that is executed, by its name and its value."""
    name, value = words[0].lower(), words[1] if len(words) > 1 else ""
    is_on = value.strip() not in {"", "0"}
    if name in {"exec", "execifexists"} and value:
        yield from _exec(value, files)
    elif name in {"map", "changelevel"} and value:
        yield Severity.WARNED, _("This would reload the map at every map change. Use +map in the launch arguments.")
    elif name == "sv_password" and is_on:
        yield (
            Severity.WARNED,
            _("sv_password does not work in Left 4 Dead 2: players cannot join from lobbies or the server browser."),
        )
    elif name == "sv_cheats" and is_on:
        yield (
            Severity.WARNED,
            _("Cheats disable achievements and let every player use the console."),
        )
    elif name == "sv_lan" and is_on:
        yield Severity.WARNED, _("LAN servers are not listed and not reachable from the internet.")
    elif not known.is_known(name.lstrip("+-")) and (meant := known.nearest(name)):
        yield (
            Severity.WARNED,
            _("Unknown cvar %(name)s. Did you mean %(nearest)s?") % {"name": words[0], "nearest": meant},
        )


def _cfg_name(value: str) -> str:
    """The path below left4dead2/cfg of what `exec` names, in lower case."""
    name = value.replace("\\", "/").lower().removeprefix("./").removeprefix("cfg/")
    return name if "." in name.rpartition("/")[2] else f"{name}.cfg"


def _exec(value: str, files: Files | None) -> Iterator[_Fault]:
    name = _cfg_name(value)
    if files is None or name in rules.BAN_LISTS:
        return
    if layer := files.get(name):
        yield Severity.NOTED, _("%(file)s is in overlay “%(layer)s”.") % {"file": name, "layer": layer}
    else:
        yield (
            Severity.WARNED,
            _("No overlay of this blueprint contains left4dead2/cfg/%s, so the game skips this line.") % name,
        )


def _no_commands(text: str) -> list[Finding]:
    """One warning for all lines that are no commands: whole files of another kind are pasted as well."""
    lines = enumerate(grammar.config_lines(text)[:MOST_LINES], start=1)
    found = [(at, command) for at, line in lines for command in grammar.parse(line) if not command.has_name]
    if not found:
        return []
    first, command = found[0]
    message = ngettext(
        "“%(name)s” is not a command of the game and is ignored. Comments start with //.",
        "“%(name)s” and %(others)d more are not commands of the game and are ignored. Comments start with //.",
        len(found),
    ) % {"name": command.words[0][:40], "others": len(found) - 1}
    return [Finding(field="config", line=first, severity=Severity.WARNED, message=message)]


def _cheats(text: str) -> list[Finding]:
    """One note for all settings that the game probably ignores, at the first of them."""
    first, names = 0, []
    for number, line in enumerate(grammar.config_lines(text)[:MOST_LINES], start=1):
        for command in grammar.parse(line):
            name = command.words[0].lower()
            if known.may_need_sourcemod(name) and name not in names:
                first = first or number
                names.append(name)
    if not names:
        return []
    message = ngettext(
        "%(first)s may be a cheat, which the game ignores. With SourceMod, use sm_cvar %(first)s …",
        "%(first)s and %(others)d more settings may be cheats, which the game ignores. With SourceMod, use "
        "sm_cvar %(first)s …",
        len(names),
    ) % {"first": names[0], "others": len(names) - 1}
    return [Finding(field="config", line=first, severity=Severity.NOTED, message=message)]
