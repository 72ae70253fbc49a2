"""Archives in the shapes that occur in practice, with the path that each file must get in an overlay.

Names are bytes, as a packing program on Windows writes them: in its code page, with its separators and its case.
"""

from __future__ import annotations

import io
import tarfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

_CFG: Final = b"sm_cvar x 1\nhostname test\n"


@dataclass(frozen=True)
class Shape:
    """The entries by name, and where they go: entries that are not in `lands` are left out."""

    entries: dict[bytes, bytes]
    lands: dict[bytes, str]
    # The text of files that are converted on the way.
    texts: dict[str, str] = field(default_factory=dict)

    def expected(self) -> dict[str, bytes]:
        """The files of the overlay by path."""
        files = {target: self.entries[name] for name, target in self.lands.items()}
        return files | {path: text.encode() for path, text in self.texts.items()}


def _shape(lands: dict[str, str], *, code_page: str = "ascii", content: bytes = b"x") -> Shape:
    raw = {name.encode(code_page): target for name, target in lands.items()}
    entries = {
        name: b"" if name.endswith((b"\\", b"/")) else (_CFG if name.lower().endswith(b".cfg") else content)
        for name in raw
    }
    return Shape(entries, {name: target for name, target in raw.items() if target})


def _named(code_page: str, *names: str) -> Shape:
    return _shape({name: f"left4dead2/{name}" for name in names}, code_page=code_page)


def _cfg(raw: bytes, text: str | None = None) -> Shape:
    path = "left4dead2/cfg/server.cfg"
    return Shape({b"cfg/server.cfg": raw}, {b"cfg/server.cfg": path}, {} if text is None else {path: text})


_REST = (
    "addons/sourcemod/plugins/mod.smx",
    "resource/left4dead2_french.txt",
    "particles/fire.pcf",
    "ems/show/cfg.txt",
    "stripper/maps/c1m1.cfg",
    "media/intro.bik",
    "motd.txt",
    "host.txt",
    "mapcycle.txt",
    "gameinfo.txt",
    "transitions/one",
    "expressions/face.vfe",
    "scenes/one.vcd",
)

SHAPES: Final[dict[str, Shape]] = {
    "capitals": _shape(
        {
            "Addons/SourceMod/configs/Core.cfg": "left4dead2/addons/sourcemod/configs/core.cfg",
            "addons/sourcemod/plugins/b.smx": "left4dead2/addons/sourcemod/plugins/b.smx",
            "Cfg/Server.cfg": "left4dead2/cfg/server.cfg",
            "Missions/Coast.txt": "left4dead2/missions/Coast.txt",
        }
    ),
    "backslashes": _shape(
        {
            "Left4Dead2\\Addons\\SourceMod\\plugins\\rock.smx": "left4dead2/addons/sourcemod/plugins/rock.smx",
            "Left4Dead2\\CFG\\Server.cfg": "left4dead2/cfg/server.cfg",
            "Left4Dead2\\Maps\\Coast1.bsp": "left4dead2/maps/Coast1.bsp",
        }
    ),
    "folders as entries with a backslash": _shape(
        {"addons\\": "", "addons\\sourcemod\\": "", "addons\\sourcemod\\b.txt": "left4dead2/addons/sourcemod/b.txt"}
    ),
    "a drive letter": _shape(
        {
            "D:\\srv\\left4dead2\\cfg\\server.cfg": "left4dead2/cfg/server.cfg",
            "..\\..\\outside.cfg": "",
            "addons/with space .txt": "left4dead2/addons/with space .txt",
        }
    ),
    "a dot in front and a wrapper": _shape(
        {
            "./Good Pack v2/left4dead2/addons/sourcemod/plugins/c.smx": "left4dead2/addons/sourcemod/plugins/c.smx",
            "./Good Pack v2/left4dead2/cfg/server.cfg": "left4dead2/cfg/server.cfg",
        }
    ),
    "GitHub's download": _shape(
        {
            "Rework-main/addons/sourcemod/plugins/d.smx": "left4dead2/addons/sourcemod/plugins/d.smx",
            "Rework-main/cfg/server.cfg": "left4dead2/cfg/server.cfg",
            "Rework-main/README.md": "",
            "Rework-main/LICENSE": "",
        }
    ),
    "two wrappers": _shape(
        {
            "download/Pack 3/left4dead2/cfg/server.cfg": "left4dead2/cfg/server.cfg",
            "download/Pack 3/readme.txt": "",
        }
    ),
    "all folders of the game": _shape({name: f"left4dead2/{name}" for name in _REST}),
    "names that differ in letter case": _shape(
        {
            "addons/sourcemod/plugins/Vote.smx": "left4dead2/addons/sourcemod/plugins/Vote.smx",
            "addons/SourceMod/plugins/vote.smx": "left4dead2/addons/sourcemod/plugins/vote.smx",
        }
    ),
    "CP866": _named("cp866", "addons/sourcemod/data/инструкция.txt", "addons/Больница.vpk"),
    "CP850": _named("cp850", "addons/sourcemod/data/Gemütlich Öl.txt"),
    "CP1252": _named("cp1252", "addons/sourcemod/data/Gemütlich Öl.txt"),
    "GBK": _named("gbk", "addons/sourcemod/data/使用说明.txt", "addons/死亡中心地图.vpk", "cfg/服务器.cfg"),
    "Big5": _named("big5", "addons/sourcemod/data/使用說明文件.txt", "addons/死亡中心地圖.vpk"),
    "Shift-JIS": _named("cp932", "addons/sourcemod/data/サーバーの説明.txt"),
    "UTF-8 without its flag": _named("utf-8", "addons/sourcemod/data/使用说明.txt"),
    "a BOM": _cfg(b"\xef\xbb\xbf" + _CFG, _CFG.decode()),
    "UTF-16": _cfg(_CFG.decode().encode("utf-16"), _CFG.decode()),
    "UTF-16 without a BOM": _cfg(_CFG.decode().encode("utf-16-le"), _CFG.decode()),
    "GBK in a cfg": _cfg("// 服务器设置\nhostname 求生之路\n".encode("gbk")),
}


def zipped(shape: Shape, path: Path) -> Path:
    """Write a zip as Windows programs do: raw names, no mark of the code page."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in shape.entries.items():
            archive.writestr(_RawInfo(name), content)
    return path


def tarred(shape: Shape, path: Path, *, mode: Literal["w", "w:gz", "w:bz2", "w:xz"] = "w") -> Path:
    """Write a tar, with `w:gz` and the like a compressed one."""
    with tarfile.open(path, mode, format=tarfile.GNU_FORMAT, encoding="utf-8", errors="surrogateescape") as archive:
        for name, content in shape.entries.items():
            if name.endswith((b"\\", b"/")):
                continue
            info = tarfile.TarInfo(name.decode("utf-8", "surrogateescape"))
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


class _RawInfo(zipfile.ZipInfo):
    """An entry whose name is written byte by byte."""

    def __init__(self, raw: bytes) -> None:
        super().__init__("raw")
        self._raw = raw
        self.filename = raw.decode("cp437")

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:
        return self._raw, self.flag_bits
