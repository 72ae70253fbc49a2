"""The data files of the simulated game tree: those of a stock L4D2 server that left4me or a cfg may read."""

from __future__ import annotations

from servers.simulated.srcds import campaigns, status

# Without this file nothing runs autoexec.cfg or the command line, in the real game as here.
_VALVE_RC = """\
// load the base configuration
//exec default.cfg

// run a user script file if present
exec autoexec.cfg

// stuff command line statements
stuffcmds

// display the startup level
startupmenu
"""

_GAMEINFO = """\
"GameInfo"
{
\tgame\t"Left 4 Dead 2"
\ttype\tmultiplayer_only
\tFileSystem
\t{
\t\tSteamAppId\t550
\t\tSearchPaths
\t\t{
\t\t\tGame\tupdate
\t\t\tGame\tleft4dead2_dlc3
\t\t\tGame\t|gameinfo_path|.
\t\t\tGame\thl2
\t\t}
\t}
}
"""


def files() -> dict[str, str]:
    """Text of every stock file by its path in the game tree."""
    texts = {
        "left4dead2/cfg/valve.rc": _VALVE_RC,
        "left4dead2/cfg/config_default.cfg": "// stock\nsv_gametypes coop,versus,survival\n",
        "left4dead2/cfg/mapedit.cfg": "// stock\n",
        "left4dead2/gameinfo.txt": _GAMEINFO,
        "left4dead2/steam.inf": _steam_inf(),
        "left4dead2/host.txt": "left4me (simulated)\n",
        "left4dead2/motd.txt": "A simulated server.\n",
        "left4dead2/maplist.txt": "".join(f"{name}\n" for name in campaigns.MAPS),
        "left4dead2/mapcycle.txt": "".join(f"{c.chapters[0][0]}\n" for c in campaigns.CAMPAIGNS),
        "left4dead2/addons/readme.txt": "Addons (VPK files) go here.\n",
        "steamapps/appmanifest_222860.acf": _manifest(),
    }
    texts |= {f"left4dead2/missions/campaign{c.code.removeprefix('c')}.txt": _mission(c) for c in campaigns.CAMPAIGNS}
    # Enough of a map for code that checks whether it exists.
    texts |= {f"left4dead2/maps/{name}.bsp": "VBSP simulated\n" for name in campaigns.MAPS}
    return texts


def _steam_inf() -> str:
    return f"PatchVersion={status.VERSION}\nProductName=left4dead2\nappID=550\nServerAppID=222860\n"


def _manifest() -> str:
    return (
        '"AppState"\n{\n\t"appid"\t\t"222860"\n\t"name"\t\t"Left 4 Dead 2 Dedicated Server"\n'
        f'\t"StateFlags"\t\t"4"\n\t"buildid"\t\t"{status.BUILD}"\n}}\n'
    )


def _mission(campaign: campaigns.Campaign) -> str:
    lines = [
        '"mission"',
        "{",
        f'\t"Name"\t\t"L4D2{campaign.code.upper()}"',
        '\t"Version"\t"1"',
        '\t"Author"\t"left4me"',
        f'\t"DisplayTitle"\t"{campaign.title}"',
        '\t"modes"',
        "\t{",
    ]
    for mode in ("coop", "versus"):
        lines += [f'\t\t"{mode}"', "\t\t{"]
        for number, (name, title) in enumerate(campaign.chapters, start=1):
            lines += [f'\t\t\t"{number}"', "\t\t\t{", f'\t\t\t\t"Map"\t\t"{name}"']
            lines += [f'\t\t\t\t"DisplayName"\t"{title}"', "\t\t\t}"]
        lines.append("\t\t}")
    return "\n".join([*lines, "\t}", "}", ""])
