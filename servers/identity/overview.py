"""What a blueprint says of the identity of its servers, and what of it a form cannot express."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django.utils.translation import gettext as _

from overlays import paths
from servers.blueprints.checks import argument_options, argument_words, config_lines, parse
from servers.blueprints.checks.grammar import Malformed
from servers.blueprints.checks.rules import BAN_LISTS, without_wrappers
from servers.identity import cvars, lines, values
from servers.identity.lines import Assignment
from servers.models import Blueprint, Server
from servers.models.game_texts import TextKind, kind_of


@dataclass(frozen=True)
class Inherited:
    """A value that holds where the blueprint's lines set none, and what it comes from."""

    value: str
    source: str


@dataclass(frozen=True)
class NamedServer:
    """A server with its name in the game.

    `is_applied` says whether its game has the settings, and is None unless it runs. `texts_wait` says whether it was
    started with no text where there is one now, or the other way round, so that it shows them from its next start on.
    """

    server: Server
    hostname: str
    is_applied: bool | None
    texts_wait: bool = False

    @property
    def is_cut(self) -> bool:
        """Whether Steam's server list shows only the beginning of the name."""
        return len(self.hostname.encode()) > cvars.LONGEST_SHOWN_NAME


def inherited(blueprint: Blueprint) -> dict[str, Inherited]:
    """The values of launch arguments and of the server.cfg of overlays, by name."""
    found = {
        name: Inherited(value, _("launch arguments")) for name, value in _argument_values(blueprint.arguments).items()
    }
    for overlay in reversed(blueprint.layers):
        text = paths.read_cfg(paths.directory(overlay)) if overlay.expose_cfg else None
        found |= {name: Inherited(value, overlay.name) for name, value in lines.values(text or "").items()}
    return found


def notes(blueprint: Blueprint) -> list[str]:
    """What the lines and texts do that the form does not show."""
    found = [*_line_notes(blueprint), *_overlay_notes(blueprint)]
    for name in values.FILES:
        text = getattr(blueprint, name)
        if kind_of(text) == TextKind.PAGE and not text.isascii() and "charset" not in text.lower():
            found.append(
                _('%s: letters outside of English need <meta charset="utf-8"> in the page.') % _file_name(name)
            )
    return found


def named(blueprint: Blueprint, servers: Iterable[Server]) -> list[NamedServer]:
    """These servers of the blueprint, with their names in the game."""
    above = inherited(blueprint)
    return [_named(server, blueprint, above) for server in servers]


def _named(server: Server, blueprint: Blueprint, above: dict[str, Inherited]) -> NamedServer:
    found = values.wanted(server, blueprint)
    pattern = above["hostname"].value if "hostname" in above else server.name
    name = found.get("hostname", pattern)
    if server.actual_state != Server.State.RUNNING or server.applied is None:
        return NamedServer(server, name, None)
    started = values.complete(server.applied)
    texts_wait = started["texts"] != sorted(values.texts(blueprint))
    return NamedServer(server, name, values.running(started) == found, texts_wait)


def _argument_values(arguments: str) -> dict[str, str]:
    found = {}
    for line in config_lines(arguments):
        try:
            options = argument_options(argument_words(line))
        except Malformed:
            continue
        for name, *given in options:
            if name.startswith("+") and name[1:].lower() in cvars.BY_NAME and given:
                found[name[1:].lower()] = " ".join(given)
    return found


def _line_notes(blueprint: Blueprint) -> Iterator[str]:
    set_by = lines.assignments(blueprint.config)
    last = {each.name: each for each in set_by}
    for number, line in enumerate(config_lines(blueprint.config), start=1):
        for each in set_by:
            if each.line == number and last[each.name] is not each:
                yield _overruled(each, last[each.name])
        for command in parse(line):
            if note := _command_note(command.words):
                yield _("Line %(line)d: %(message)s") % {"line": number, "message": note}


def _overruled(each: Assignment, last: Assignment) -> str:
    message = _("%(name)s is set again in line %(last)d, which counts.") % {"name": each.name, "last": last.line}
    return _("Line %(line)d: %(message)s") % {"line": each.line, "message": message}


def _command_note(words: tuple[str, ...]) -> str:
    name, inner = words[0].lower(), without_wrappers(words)
    if name not in cvars.BY_NAME and inner and inner[0] in cvars.BY_NAME:
        return _("%(command)s sets %(name)s in another way. The form leaves it as it is.") % {
            "command": words[0],
            "name": inner[0],
        }
    if name in {"exec", "execifexists"} and len(words) > 1 and words[1].lower() not in BAN_LISTS:
        return _("The file “%s” may set these values, too.") % words[1]
    for text, (cvar, default) in values.FILE_CVARS.items():
        if name == cvar and len(words) > 1 and words[1].lower() != default:
            return _("%(cvar)s makes the game read “%(file)s” instead of the text of %(name)s.") % {
                "cvar": cvar,
                "file": words[1],
                "name": _file_name(text),
            }
    return ""


def _overlay_notes(blueprint: Blueprint) -> Iterator[str]:
    """Why players would not see a text: the server.cfg of an overlay makes the game read another file."""
    for text, (cvar, default) in values.FILE_CVARS.items():
        if not getattr(blueprint, text) or _file_set(blueprint.config, cvar):
            # What the lines set counts, and has a note of its own.
            continue
        exposed = (overlay for overlay in blueprint.layers if overlay.expose_cfg)
        cfgs = ((overlay.name, paths.read_cfg(paths.directory(overlay)) or "") for overlay in exposed)
        # The topmost overlay that sets it counts.
        name, file = next(((name, file) for name, cfg in cfgs if (file := _file_set(cfg, cvar))), ("", default))
        if file.lower() != default:
            yield _(
                "The server.cfg of “%(overlay)s” makes the game read “%(file)s” instead of the text of %(name)s. "
                'To show the text, add the line %(cvar)s "%(name)s".'
            ) % {"cvar": cvar, "overlay": name, "file": file, "name": default}


def _file_set(cfg: str, cvar: str) -> str:
    """The file that a cfg sets this setting to in the end; empty if it does not."""
    commands = [command.words for line in config_lines(cfg) for command in parse(line)]
    return next((words[1] for words in reversed(commands) if words[0].lower() == cvar and len(words) > 1), "")


def _file_name(text: str) -> str:
    return values.FILE_CVARS[text][1]
