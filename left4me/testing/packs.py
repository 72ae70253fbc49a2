"""Stand-ins for widespread packs of L4D2 servers: the same paths and numbers of files, with a few bytes in each."""

from __future__ import annotations

import io
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from left4me.testing import vpk_files


@dataclass(frozen=True)
class Pack:
    """An archive by its name, and some of the paths that the overlay must hold after it was unpacked."""

    name: str
    write: Callable[[Path], None]
    holds: tuple[str, ...]
    # How many files are unpacked.
    count: int


def _zip(files: dict[str, bytes]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)

    return write


def _tar(files: dict[str, bytes], *, links: dict[str, str] | None = None) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with tarfile.open(path, "w:gz") as archive:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size, info.mode = len(content), 0o755 if content.startswith(b"\x7fELF") else 0o644
                archive.addfile(info, io.BytesIO(content))
            for name, target in (links or {}).items():
                info = tarfile.TarInfo(name)
                info.type, info.linkname = tarfile.SYMTYPE, target
                archive.addfile(info)

    return write


def _below(prefix: str, files: dict[str, bytes]) -> dict[str, bytes]:
    return {f"{prefix}{name}": content for name, content in files.items()}


def _vpk(name: str) -> bytes:
    # A place of its own: every process of a test run imports this module, several at once.
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / name
        vpk_files.write(path, {"maps/walls_1.bsp": b"VBSP", "addoninfo.txt": b'"AddonInfo" {}'})
        return path.read_bytes()


_ELF = b"\x7fELF\x01\x01\x01"
_SOURCEMOD = {
    "addons/metamod/sourcemod.vdf": b'"Metamod Plugin" {}',
    "addons/sourcemod/bin/sourcemod_mm_i486.so": _ELF,
    "addons/sourcemod/bin/sourcemod.2.l4d2.so": _ELF,
    "addons/sourcemod/configs/core.cfg": b'"Core" {}',
    "addons/sourcemod/extensions/sdktools.ext.2.l4d2.so": _ELF,
    "addons/sourcemod/plugins/admin-flatfile.smx": b"FFPS",
    "addons/sourcemod/scripting/spcomp": _ELF,
    "addons/sourcemod/scripting/include/sourcemod.inc": b"x",
    "addons/sourcemod/translations/common.phrases.txt": b'"Phrases" {}',
    "cfg/sourcemod/sourcemod.cfg": b"sm_flood_time 0\n",
}
_METAMOD = {
    "addons/metamod.vdf": b'"Plugin" { "file" "../left4dead2/addons/metamod/bin/server" }',
    "addons/metamod/bin/metamod.2.l4d2.so": _ELF,
    "addons/metamod/bin/server.so": _ELF,
    "addons/metamod/metaplugins.ini": b";",
}
# As many files as the widespread pack of competitive rules has.
_REWORK_FILES: Final = 3_357
_REWORK = {
    **_METAMOD,
    **_SOURCEMOD,
    "cfg/server.cfg": b"hostname rework\nexec server_rules\n",
    "cfg/server_rules.cfg": b"sv_alltalk 0\n",
    "cfg/cfgogl/zonemod/confogl.cfg": b"sm_cvar x 1\n",
    "cfg/stripper/zonemod/global_filters.cfg": b"filter:\n",
    "scripts/vscripts/zonemod.nut": b"x",
    "host.txt": b"x",
    "motd.txt": b"x",
    "myhost.txt": b"x",
    "mymotd.txt": b"x",
}
_REWORK |= {
    f"addons/sourcemod/scripting/part_{number % 40}/file_{number}.sp": b"x"
    for number in range(_REWORK_FILES - len(_REWORK))
}
_RULES = "// 服务器设置\nhostname 求生之路\n"

PACKS: Final[tuple[Pack, ...]] = (
    Pack(
        "rework-master.zip",
        _zip({**_below("Rework-master/", _REWORK), "Rework-master/README.md": b"x", "Rework-master/.gitignore": b"x"}),
        ("left4dead2/addons/metamod.vdf", "left4dead2/cfg/cfgogl/zonemod/confogl.cfg", "left4dead2/mymotd.txt"),
        _REWORK_FILES,
    ),
    Pack(
        "sourcemod-linux.tar.gz",
        _tar(_SOURCEMOD),
        ("left4dead2/addons/sourcemod/scripting/spcomp",),
        len(_SOURCEMOD),
    ),
    Pack("mmsource-linux.tar.gz", _tar(_METAMOD), ("left4dead2/addons/metamod/bin/server.so",), len(_METAMOD)),
    Pack(
        "wrapped.zip",
        _zip(_below("ZonePack v2.9/left4dead2/", {"addons/sourcemod/plugins/z.smx": b"x", "cfg/z.cfg": b"sv_x 1"})),
        ("left4dead2/addons/sourcemod/plugins/z.smx",),
        2,
    ),
    Pack(
        "unwrapped.zip",
        _zip(_below("left4dead2/", {"motd.txt": b"x", "host.txt": b"x", "cfg/server.cfg": b"hostname x"})),
        ("left4dead2/motd.txt", "left4dead2/host.txt"),
        3,
    ),
    Pack(
        "game_folder_itself.zip",
        _zip(
            {"motd.txt": b"x", "host.txt": b"x", "mapcycle.txt": b"x", "addons/a.txt": b"x", "server.cfg": b"sv_x 1"}
        ),
        ("left4dead2/mapcycle.txt", "left4dead2/addons/a.txt", "left4dead2/server.cfg"),
        5,
    ),
    Pack(
        "whole_server.tar.gz",
        _tar(
            {
                "server/srcds_run": b"#!/bin/sh\n",
                "server/srcds_linux": _ELF,
                "server/bin/engine_srv.so": _ELF,
                "server/left4dead2/bin/server_srv.so": _ELF,
                "server/left4dead2/cfg/server.cfg": b"hostname whole",
                "server/left4dead2/addons/sourcemod/plugins/a.smx": b"x",
            },
            links={"server/left4dead2/addons/outside": "/etc"},
        ),
        ("left4dead2/cfg/server.cfg",),
        2,
    ),
    Pack(
        "from_windows.zip",
        _zip({"Left4Dead2\\Addons\\SourceMod\\plugins\\w.smx": b"x", "Left4Dead2\\CFG\\Server.cfg": b"hostname w"}),
        ("left4dead2/addons/sourcemod/plugins/w.smx", "left4dead2/cfg/server.cfg"),
        2,
    ),
    Pack(
        "plugin-main.zip",
        _zip(
            _below(
                "votes-main/",
                {
                    "plugins/votes.smx": b"x",
                    "scripting/votes.sp": b"x",
                    "gamedata/votes.txt": b"x",
                    "README.md": b"x",
                    "LICENSE": b"x",
                },
            )
        ),
        ("left4dead2/addons/sourcemod/gamedata/votes.txt",),
        3,
    ),
    Pack("1234567.zip", _zip({"1234567.vpk": _vpk("workshop")}), ("left4dead2/addons/1234567.vpk",), 1),
    Pack(
        "campaign.zip",
        _zip({"Walls/walls.vpk": _vpk("campaign"), "Walls/Readme.txt": b"x", "Walls/gamemaps.url": b"x"}),
        ("left4dead2/addons/walls.vpk",),
        1,
    ),
    Pack(
        "loose_map.zip",
        _zip({"maps/walls_2.bsp": b"VBSP", "maps/walls_2.nav": b"x", "missions/walls.txt": b'"mission" {}'}),
        ("left4dead2/maps/walls_2.bsp", "left4dead2/missions/walls.txt"),
        3,
    ),
    Pack(
        "texts_of_windows.zip",
        _zip(
            {
                "cfg/server.cfg": b"\xef\xbb\xbfhostname bom\n",
                "cfg/rules.cfg": _RULES.encode("utf-16"),
                "cfg/gbk.cfg": _RULES.encode("gbk"),
            }
        ),
        ("left4dead2/cfg/rules.cfg", "left4dead2/cfg/gbk.cfg"),
        3,
    ),
)
