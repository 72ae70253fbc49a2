"""Translates pasted launch lines into launch arguments, one option per line, and says what became of each option.

Arguments that are written as left4me stores them come back unchanged, so that translating twice changes nothing.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import PureWindowsPath
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from servers.blueprints import shell
from servers.blueprints.checks import grammar, known, rules

_PROGRAM: Final = re.compile(r"(?:srcds|hlds)(?:_[a-z0-9]+)*(?:\.exe|\.sh)?\Z|srcds[\w.-]*\Z", re.IGNORECASE)
_HOLDS_COMMAND: Final = re.compile(r"srcds|(?:^|\s)-game\s|(?:^|\s)\+map\s", re.IGNORECASE)
_OPTION: Final = re.compile(r"[+-][A-Za-z_]\w*\Z")
_CONTAINERS: Final = frozenset({"docker", "podman", "nerdctl"})
# Options of `docker run` are single letters, a few letters together (-it) or have two dashes.
_OF_THE_GAME: Final = re.compile(r"\+[A-Za-z_]\w*\Z|-[A-Za-z_]\w{3,}\Z")


@dataclass(frozen=True, kw_only=True)
class Note:
    """What became of one part of the pasted text."""

    field: str  # "arguments" or "config"
    line: int
    message: str

    def __str__(self) -> str:
        return _("Line %(line)d: %(message)s") % {"line": self.line, "message": self.message}


@dataclass
class Translation:
    arguments: str
    config: str
    notes: list[Note] = field(default_factory=list)


@dataclass
class _Option:
    line: int
    words: list[str]
    comment: str = ""


def translate(*, arguments: str, config: str) -> Translation:
    """Translate the texts of a form, a request or a file."""
    result = Translation(arguments, config)
    _translate_config(result)
    if _is_canonical(arguments):
        return result
    kept: list[str] = []
    for option in _options(arguments, result.notes):
        if option.comment:
            kept.append(f"// {option.comment}")
        if option.words:
            kept += _translated(option, result)
    result.arguments = "\n".join(kept)
    if not kept and not result.notes:
        result.notes.append(Note(field="arguments", line=1, message=_("This launch line contains no options.")))
    result.notes.sort(key=lambda note: (note.field, note.line))
    return result


def launch_lines(text: str) -> list[str]:
    """The distinct launch lines of a text, with the values of its variables. Each can be translated by itself."""
    found = (_launch_words(line) for line in shell.lines(text))
    launches = _launches(words for words, is_launch in found if is_launch)
    return [" ".join(["srcds_run", *(_quoted(shell.shown(word)) for word in words)]) for words in launches]


def _is_canonical(arguments: str) -> bool:
    """Whether every line is an option that left4me does not set itself, a comment, or blank."""
    for line in grammar.config_lines(arguments):
        if not line or line.startswith("//"):
            continue
        try:
            options = grammar.argument_options(grammar.argument_words(line))
        except grammar.Malformed:
            return False
        if len(options) != 1 or options[0][0][1:].lower() in _TREATED or options[0][0][0] != _sign(options[0][0]):
            return False
    return True


def _options(text: str, notes: list[Note]) -> list[_Option]:
    """The options of the first launch line and of the lines that hold nothing but options."""
    options: list[_Option] = []
    found = [(line, *_launch_words(line)) for line in shell.lines(text)]
    launches = _launches(words for _line, words, is_launch in found if is_launch)
    is_taken = False
    for line, words, is_launch in found:
        if is_launch and (is_taken or words not in launches[:1]):
            continue
        is_taken = is_taken or is_launch
        # A comment of the arguments themselves is kept, one of a script is not.
        if line.comment and not is_launch and (words or line.text.lstrip().startswith("//")):
            options.append(_Option(line.number, [], line.comment))
        if words:
            options += _grouped(words, line.number, notes)
            if is_launch and len(line.commands) > 1:
                _note_once(_script_note(), line.number, notes)
            elif not is_launch:
                notes += _rest_left_out(line)
        elif line.commands and not is_launch:
            _note_left_out(line, options, notes, is_script=bool(launches) or text.lstrip().startswith("#!"))
    if (more := len(launches) - 1) > 0:
        message = ngettext(
            "There is one more launch line. Only the first one was used.",
            "There are %(count)d more launch lines. Only the first one was used.",
            more,
        ) % {"count": more}
        notes.append(Note(field="arguments", line=1, message=message))
    return options


def _launches(found: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The distinct launch lines among those that name the program; scripts also test, copy and link it."""
    distinct = [words for words in dict.fromkeys(found) if any(map(_is_option, words))]
    return [words for words in distinct if {"-game", "+map", "+exec"} & set(words)] or distinct


def _launch_words(line: shell.Line) -> tuple[tuple[str, ...], bool]:
    """The words after the game's program, and whether there is one; the options of a line without program."""
    for words in line.commands:
        for at, word in enumerate(words):
            if _names_program(word):
                return words[at + 1 :], True
            if (
                word[:1] not in "+-"
                and " " in word.strip()
                and _HOLDS_COMMAND.search(word)
                and not _in_value(words, at)
            ):
                for inner in shell.nested(word):
                    found, _is_launch = _launch_words(inner)
                    if found:
                        return found, True
    for words in line.commands:
        first = next((at for at, word in enumerate(words) if _is_option(word)), None)
        if first == 0:
            return words, False
        # A wrapper of its own (./start.sh -game left4dead2 …) names the game.
        if first is not None and "-game" in words:
            return words[words.index("-game") :] if words.index("-game") == first else words[first:], True
        if _CONTAINERS & set(words[:2]) and "run" in words:
            # What follows the image goes to the program in it, which is the game's start script.
            return tuple(itertools.dropwhile(lambda word: not _OF_THE_GAME.match(word), words)), True
        if len(words) == 1 and shell.has_placeholder(words[0]):
            return (), False
    return (), False


def _in_value(words: tuple[str, ...], at: int) -> bool:
    """Whether the word is the value of an option of the game: `+hostname "my srcds"`."""
    return any(word.startswith("+") for word in words[:at])


def _names_program(word: str) -> bool:
    if " " in word:
        return False
    name = PureWindowsPath(shell.shown(word).strip("\"'[]();,@")).name
    return bool(_PROGRAM.match(name)) and not name.lower().endswith((".bat", ".log", ".cfg", ".txt"))


def _is_option(word: str) -> bool:
    return grammar.is_option(word) and len(word) > 1


def _grouped(words: tuple[str, ...], number: int, notes: list[Note]) -> list[_Option]:
    """The words as options with their values; a word that belongs to no option is noted."""
    options: list[_Option] = []
    for word in words:
        # ENTRYPOINT ["srcds_run", "-game left4dead2"]: one word that holds an option and its value.
        parts = word.split() if _is_option(word) and " " in word else [word]
        for part in parts:
            if _is_option(part):
                options.append(_Option(number, [part]))
            elif options:
                options[-1].words.append(part)
            else:
                message = _("%s: removed, because it belongs to no option.") % shell.shown(part)
                notes.append(Note(field="arguments", line=number, message=message))
    return options


def _note_left_out(line: shell.Line, options: list[_Option], notes: list[Note], *, is_script: bool) -> None:
    """Note a line that holds no option. A setting without its sign gets it, unless it stands in a script."""
    first = line.commands[0]
    name = first[0].lower()
    if not is_script and len(line.commands) == 1 and len(first) > 1 and known.is_listed(name):
        options.append(_Option(line.number, [f"+{first[0]}", *first[1:]]))
        message = _("%(word)s: changed to +%(word)s. Settings on the launch line start with +.") % {"word": first[0]}
        notes.append(Note(field="arguments", line=line.number, message=message))
        return
    _note_once(_script_note(), line.number, notes)


def _rest_left_out(line: shell.Line) -> list[Note]:
    """A note for each command that follows the options after a `;`: a shell would run them as programs."""
    message = _("%s: removed, because the launch line ends before it. Add console commands to server.cfg.")
    return [
        Note(field="arguments", line=line.number, message=message % shell.shown(" ".join(words)))
        for words in line.commands[1:]
    ]


def _script_note() -> str:
    return _("Commands that do not start the game were removed.")


def _note_once(message: str, number: int, notes: list[Note]) -> None:
    if all(note.message != message for note in notes):
        notes.append(Note(field="arguments", line=number, message=message))


def _translated(option: _Option, result: Translation) -> list[str]:
    """The lines that an option becomes; its note and its lines of server.cfg go to `result`."""

    def note(message: str) -> None:
        result.notes.append(Note(field="arguments", line=option.line, message=message))

    words = _without_unknown_ends(option.words, note)
    sign_and_name, *values = words
    name = sign_and_name[1:].lower()
    if not _OPTION.match(sign_and_name):
        note(_("%s: removed, because the game has no such option.") % shell.shown(sign_and_name))
        return []
    text = sign_and_name if name in _SECRET else shell.shown(" ".join(words))
    if name in _TAKEN_OUT:
        note(_("%(option)s: removed. %(reason)s") % {"option": text, "reason": _TAKEN_OUT[name]})
        return []
    if unknown := next((word for word in words if shell.has_placeholder(word)), ""):
        note(
            _("%(option)s: removed, because the value of %(name)s is unknown. Add the line with its value.")
            % {"option": text, "name": shell.shown(unknown)}
        )
        return []
    if name in _FILES:
        return _moved_exec(text, values, result, note)
    if sign_and_name[0] != (sign := _sign(sign_and_name)):
        note(_("%(option)s: changed to %(sign)s%(name)s.") % {"option": text, "sign": sign, "name": sign_and_name[1:]})
    return [" ".join([sign + sign_and_name[1:], *map(_quoted, values)])]


def _without_unknown_ends(words: list[str], note: Callable[[str], None]) -> list[str]:
    """The words without variables of a script that stand after a value: they may hold other options."""
    kept = list(words)
    while len(kept) > 2 and shell.has_placeholder(kept[-1]) and not shell.has_placeholder(kept[-2]):
        note(_("%s: removed, because its value is unknown.") % shell.shown(kept.pop()))
    return kept


def _sign(option: str) -> str:
    """The sign that the game wants: - for its own options, + for settings and commands."""
    name = option[1:].lower()
    if name == "tickrate":
        return "-"
    is_command = name in {"map", "hostname"} or ("_" in name and known.is_listed(name))
    return "+" if is_command else option[0]


def _moved_exec(text: str, values: list[str], result: Translation, note: Callable[[str], None]) -> list[str]:
    """An `exec` as a line of server.cfg, whose file is then looked for in the overlays."""
    path = "".join(values[:1]).replace("\\", "/").strip("/")
    file = path.rpartition("left4dead2/cfg/")[2].removeprefix("./").removeprefix("cfg/")
    if not file or file.lower() in rules.OWN_CFG:
        note(_("%s: removed. left4me runs server.cfg at every map.") % text)
        return []
    line = f"exec {_quoted(file)}"
    if line not in grammar.config_lines(result.config):
        result.config = "\n".join([*filter(None, [result.config.rstrip("\r\n")]), line])
    note(_("%(option)s: moved to server.cfg as “%(line)s”.") % {"option": text, "line": line})
    return []


def _translate_config(result: Translation) -> None:
    """Take secrets out of the config: whoever may read the blueprint would read them."""
    kept = []
    lines = result.config.split("\n")
    for number, raw in enumerate(lines, start=1):
        names = [command.words[0].lower() for command in grammar.parse(raw.strip(" \t\r\ufeff")) if command.words]
        secret = next((name for name in names if name in _SECRET), None)
        if secret is None or len(names) > 1:
            kept.append(raw)
            continue
        reason = rules.LEFT_OUT[secret]
        message = _("%(option)s: removed. %(reason)s") % {"option": secret, "reason": reason}
        result.notes.append(Note(field="config", line=number, message=message))
    if len(kept) != len(lines):
        result.config = "\n".join(kept)


def _quoted(value: str) -> str:
    value = value.replace('"', "")
    return f'"{value}"' if not value or re.search(r"[\s;]|//", value) else value


_SECRET: Final = frozenset({"rcon_password", "sv_setsteamaccount", "netconpassword"})
_TAKEN_OUT: Final[dict[str, Promise]] = rules.TAKEN_OUT
_FILES: Final = frozenset({"exec", "servercfgfile"})
_TREATED: Final = frozenset({*_TAKEN_OUT, *_FILES})
