"""The commands and options that a blueprint may not use, and those that deserve a warning.

The names come from the game's documentation and from reports of operators.

This is hygiene with good messages. The boundary is the sandbox: plugins are native code anyway.
"""

from __future__ import annotations

from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

_HOST_SIDE = _("left4me sets this itself.")
_PASSWORD = _("left4me makes the RCON password and writes it last.")
_OTHER_FILE = _("This reads another file; put its lines here, or expose the overlay's server.cfg.")
_NATIVE = _("This loads a plugin; put it into an overlay with its own autoload file.")
_WRITES = _("This writes files by a name of its own.")
_ENDS = _("This ends the game. Use the server's buttons.")
_PORTS = _("Ports are given by left4me, so that no server takes another's.")
_SHADOWS = _("An alias could change the meaning of later lines.")
_UPDATES = _("The game is updated by its host.")
_DEBUGS = _("This runs a debugger on the host.")
_PROGRAM = _("This changes which program is run.")
_SCRIPT = _("This runs a script inside the game; put it into an overlay.")

# Commands and settings that a config line or a +argument may not use.
REFUSED_COMMANDS: Final[dict[str, Promise]] = {
    **dict.fromkeys(("exec", "execifexists", "sm_execcfg"), _OTHER_FILE),
    **dict.fromkeys(("servercfgfile", "lservercfgfile", "mapchangecfgfile"), _OTHER_FILE),
    **dict.fromkeys(("rcon_password", "rcon_address", "rcon", "sm_rcon"), _PASSWORD),
    **dict.fromkeys(("alias", "bind", "bindtoggle"), _SHADOWS),
    **dict.fromkeys(("plugin_load", "plugin_unload", "plugin_pause", "plugin_unpause"), _NATIVE),
    **dict.fromkeys(("con_logfile", "host_writeconfig", "ccs_write_convars", "vprof_record_start"), _WRITES),
    **dict.fromkeys(("quit", "exit", "_restart", "restart", "killserver", "sv_shutdown", "crash", "sv_crash"), _ENDS),
    **dict.fromkeys(("hostport", "hostip", "ip", "port", "net_start", "clientport", "tv_port", "hltv_port"), _PORTS),
    **dict.fromkeys(("script", "script_execute", "script_debug"), _SCRIPT),
}

# Commands of several words: refused when their first words are these.
REFUSED_PHRASES: Final[dict[tuple[str, ...], Promise]] = {
    ("meta", "load"): _NATIVE,
    ("sm", "exts", "load"): _NATIVE,
    ("sm", "plugins", "load"): _NATIVE,
}

REFUSED_PREFIXES: Final[dict[str, Promise]] = {
    "sv_rcon_": _("left4me keeps the console's own limits, or the game would lock it out."),
}

# These execute or set what their next word names, so that word counts as a command as well.
WRAPPERS: Final = frozenset(
    {"sm_cvar", "sm_resetcvar", "toggle", "incrementvar", "multvar", "reset", "cmd", "setinfo", "test_randomchance"}
)

# Every server reads the ban lists back.
ALLOWED_EXECS: Final = frozenset({"banned_user.cfg", "banned_ip.cfg", "banned_user", "banned_ip"})

# Options of the launch line, without their sign: srcds takes many with either.
REFUSED_OPTIONS: Final[dict[str, Promise]] = {
    **dict.fromkeys(("game", "console", "norestart", "strictportbind", "defaultgamedir", "basedir"), _HOST_SIDE),
    **dict.fromkeys(("insert_search_path", "insert_search_paths", "tempcontent", "timeout"), _HOST_SIDE),
    **dict.fromkeys(("ip", "port", "hostport", "clientport", "tv_port", "netconport", "netconpassword"), _PORTS),
    **dict.fromkeys(("autoupdate", "steam_dir", "steamcmd_script", "steambin", "beta"), _UPDATES),
    **dict.fromkeys(("debug", "debugbreak", "debuglog", "dumplog", "gdb", "cdb"), _DEBUGS),
    **dict.fromkeys(("binary", "fork", "verify_all", "help"), _PROGRAM),
    **dict.fromkeys(("pidfile", "condebug", "conclearlog", "con_logfile", "writeconfig"), _WRITES),
    **dict.fromkeys(("insecure",), _("This switches VAC off, which left4me does not offer.")),
    **dict.fromkeys(("rcon_password",), _PASSWORD),
}

# Accepted, but probably not what was meant.
WARNED_COMMANDS: Final[dict[str, Promise]] = {
    "sv_password": _("sv_password is broken in Left 4 Dead 2: lobbies and browsers cannot join with it."),
    "logaddress_add": _("This sends the log, with players' addresses, to another machine."),
    "sv_downloadurl": _("Players' games download from this address."),
    "log": _("The game's own log files grow without limit; left4me keeps the console's log anyway."),
    "map": _("A map here is loaded again at every map change; put +map into the arguments."),
    "changelevel": _("A map here is loaded again at every map change; put +map into the arguments."),
    "sv_cheats": _("With cheats on, no achievements are given and every player may use the console."),
    "sv_lan": _("A LAN server is neither listed nor reachable from the internet."),
    "hostname": _("The server's own name is the default; this line wins over it on every server of this blueprint."),
}
