"""What the console of a running game refuses. Operators who do not own the server use it as well.

A command is sent as it was typed, so that it is refused where the game's parsers could read it differently.
"""

from __future__ import annotations

import re
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from servers.blueprints.checks import grammar, rules

_OTHER_FILE = _("exec is not allowed here. Paste the file's contents instead, or use the overlay's server.cfg.")
_NATIVE = _("Loading plugins is not allowed here. Add the plugin to an overlay with an autoload file.")
_WRITES = _("Commands that write files are not allowed here.")
_ENDS = _("This would stop the game. Use the server's buttons instead.")
_SHADOWS = _("Aliases and binds are not allowed here, because they change the meaning of other commands.")
_LIFTS = _("left4me would ban again. Lift the ban on the Bans page.")
_SCRIPT = _("Scripts are not allowed here. Add the script to an overlay.")

_COMMANDS: Final[dict[str, Promise]] = {
    **rules.LEFT_OUT,
    **dict.fromkeys(("exec", "execifexists", "sm_execcfg"), _OTHER_FILE),
    **dict.fromkeys(("servercfgfile", "lservercfgfile", "mapchangecfgfile"), _OTHER_FILE),
    **dict.fromkeys(("alias", "bind", "bindtoggle"), _SHADOWS),
    **dict.fromkeys(("plugin_load", "plugin_unload", "plugin_pause", "plugin_unpause"), _NATIVE),
    **dict.fromkeys(("con_logfile", "host_writeconfig", "ccs_write_convars", "vprof_record_start"), _WRITES),
    **dict.fromkeys(rules.ENDS, _ENDS),
    **dict.fromkeys(("removeid", "removeip", "removeallids"), _LIFTS),
    **dict.fromkeys(("script", "script_execute", "script_debug"), _SCRIPT),
}
# Commands of several words: refused when their first words are these.
_PHRASES: Final[dict[tuple[str, ...], Promise]] = {
    ("meta", "load"): _NATIVE,
    ("sm", "exts", "load"): _NATIVE,
    ("sm", "plugins", "load"): _NATIVE,
}
_WHOLE_QUOTES: Final = re.compile(r'(?<![^\s;])"[^"]*"(?![^\s;])')


def refusal(line: str) -> str:
    """Why a line is not sent to a running game; empty when it is."""
    try:
        grammar.refuse_characters(line)
        grammar.refuse_length(line)
    except grammar.Malformed as fault:
        return str(fault)
    if '"' in _WHOLE_QUOTES.sub("", line):
        return gettext("Misplaced or missing quote.")
    # A comment of a cfg to left4me; the game would execute what stands behind its semicolons.
    if line.lstrip().startswith("#"):
        return gettext("“%s” is not a command or cvar.") % "#"
    for command in grammar.parse(line):
        if not command.has_name:
            return gettext("“%s” is not a command or cvar.") % command.words[0]
        if reason := _command_refusal(command.words):
            return f"{command.words[0]}: {reason}"
    return ""


def _command_refusal(command: grammar.Command) -> str:
    words = rules.without_wrappers(command)
    if not words:
        return ""
    name = words[0].lstrip("+-")
    if name == "exec" and len(words) == 2 and words[1] in rules.BAN_LISTS:
        return ""
    if name in _COMMANDS:
        return str(_COMMANDS[name])
    for phrase, reason in _PHRASES.items():
        if (name, *words[1:])[: len(phrase)] == phrase:
            return str(reason)
    return next((str(why) for prefix, why in rules.LEFT_OUT_PREFIXES.items() if name.startswith(prefix)), "")
