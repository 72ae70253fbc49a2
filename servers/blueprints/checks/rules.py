"""What left4me sets itself, and what deserves a note or a warning.

The names come from the game's documentation, from Valve's srcds_run, and from reports of operators.

This is hygiene with good messages. The boundary is the sandbox: plugins are native code anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

_PASSWORD = _("left4me manages the RCON password.")
_PORT = _("left4me sets the port. Change it on the server's page.")
_ADDRESS = _("Servers listen on every address of their host.")
_CLIENT_PORT = _("Dedicated servers have no client port.")
_TV_PORT = _("left4me assigns a SourceTV port when tv_enable is 1.")
_TOKEN = _("Left 4 Dead 2 needs no login token, and a token works for one server only.")
_LOG = _("left4me keeps the log. See the server's page.")
_OWN_FILE = _("left4me writes server.cfg and runs it at every map.")
_RCON_LIMITS = _("left4me manages the RCON limits; otherwise the game could lock it out.")
_ALIAS = _("This alias would change a command that left4me needs. Choose another name.")

# Commands of server.cfg that are not executed, because left4me sets what they set.
LEFT_OUT: Final[dict[str, Promise]] = {
    **dict.fromkeys(("rcon_password", "rcon_address", "rcon", "sm_rcon"), _PASSWORD),
    **dict.fromkeys(("hostport", "port", "net_start"), _PORT),
    **dict.fromkeys(("hostip", "ip"), _ADDRESS),
    **dict.fromkeys(("clientport",), _CLIENT_PORT),
    **dict.fromkeys(("tv_port", "hltv_port"), _TV_PORT),
    **dict.fromkeys(("sv_setsteamaccount",), _TOKEN),
    **dict.fromkeys(("servercfgfile", "lservercfgfile", "mapchangecfgfile"), _OWN_FILE),
    **dict.fromkeys(("con_logfile", "host_writeconfig", "ccs_write_convars", "vprof_record_start"), _LOG),
}
LEFT_OUT_PREFIXES: Final[dict[str, Promise]] = {"sv_rcon_": _RCON_LIMITS}

# Commands that would end the game at every map. They are not executed either, and were hardly meant.
ENDS: Final = frozenset({"quit", "exit", "_restart", "restart", "killserver", "sv_shutdown", "crash", "sv_crash"})

# These execute or set what their next word names, so that word counts as a command as well.
_WRAPPERS: Final = frozenset(
    {"sm_cvar", "sm_resetcvar", "toggle", "incrementvar", "multvar", "reset", "cmd", "setinfo", "test_randomchance"}
)

# Commands whose meaning the generated server.cfg relies on.
NEEDED: Final = frozenset({"exec", "hostname", "rcon_password", "tv_port"})
ALIAS_REASON: Final = _ALIAS

# Every server reads the ban lists back.
BAN_LISTS: Final = frozenset({"banned_user.cfg", "banned_ip.cfg", "banned_user", "banned_ip"})
# server.cfg itself: executing it again would never end.
OWN_CFG: Final = frozenset({"server.cfg", "server"})

_HOST_SIDE = _("left4me sets this itself.")
_GAME = _("left4me always runs Left 4 Dead 2.")
_RESTARTS = _("left4me restarts crashed games, with increasing pauses.")
_UPDATES = _("The game is updated on the host's page.")
_DEBUGS = _("Debuggers are not supported; the last log lines of a crash are kept.")
_PROGRAM = _("left4me chooses the program to run.")
_INSECURE = _("VAC cannot be disabled.")
_PID = _("left4me tracks the process itself.")

# Options of the launch line, without their sign: srcds takes many with either.
TAKEN_OUT: Final[dict[str, Promise]] = {
    **LEFT_OUT,
    **dict.fromkeys(("game",), _GAME),
    **dict.fromkeys(("console", "strictportbind", "defaultgamedir", "basedir", "rundir", "usegh"), _HOST_SIDE),
    **dict.fromkeys(
        ("insert_search_path", "insert_search_paths", "tempcontent", "steamerr", "ignoresigint"), _HOST_SIDE
    ),
    **dict.fromkeys(("timeout", "norestart", "autorestart"), _RESTARTS),
    **dict.fromkeys(("netconport", "netconpassword", "netconmaxclients"), _HOST_SIDE),
    **dict.fromkeys(
        ("autoupdate", "steam_dir", "steamcmd_script", "steambin", "steamuser", "steampass", "beta"), _UPDATES
    ),
    **dict.fromkeys(("update", "updateonly", "steam", "notrap_update"), _UPDATES),
    **dict.fromkeys(("debug", "debugbreak", "debuglog", "dumplog", "gdb", "cdb", "notrap"), _DEBUGS),
    **dict.fromkeys(("binary", "fork", "verify_all", "help"), _PROGRAM),
    **dict.fromkeys(("pidfile",), _PID),
    **dict.fromkeys(("condebug", "conclearlog", "consolelog", "writeconfig"), _LOG),
    **dict.fromkeys(("insecure",), _INSECURE),
}
# `servercfgfile` names a file that is to be executed: it is moved to server.cfg.
del TAKEN_OUT["servercfgfile"]


def without_wrappers(words: Sequence[str]) -> tuple[str, ...]:
    """The words of the command that is executed in the end, in lower case: of `sm_cvar toggle god`, `god`."""
    words = tuple(word.lower() for word in words)
    while words and words[0] in _WRAPPERS:
        words = words[1:]
    return words
