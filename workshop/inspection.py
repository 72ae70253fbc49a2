"""Inspection of VPK files: whether the game can open a file, its campaigns, and warnings for operators."""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from left4me.core import texts
from workshop import keyvalues, missions, translations, vpk
from workshop.translations import Translations

_LARGEST_TEXT_FILE = 1024 * 1024
_MOST_MISSION_FILES = 64
_MOST_MAPS = 200
_MOST_NAMED = 20
_MOST_PATHS = 100_000
_GLOBAL_SCRIPTS = frozenset(
    f"scripts/vscripts/{name}{ending}"
    for name in ("mapspawn_addon", "scriptedmode_addon", "director_base_addon", "response_testbed_addon")
    for ending in (".nut", ".nuc")
)
_WHOLE_GAME_SCRIPTS = (
    "scripts/gamemodes.txt",
    "scripts/vscripts/mapspawn.nut",
    "scripts/vscripts/scriptedmode.nut",
)
# Every addon contains these files; they do not conflict.
OWN_FILES = frozenset({"addoninfo.txt", "addonimage.jpg", "addonimage.vtf", "readme.txt", ""})

_BSP_MAGIC = b"VBSP"
_LUMP = struct.Struct("<iiii")
# The 40th in the list of lumps, which follows the magic and a version.
_PAKFILE_LUMP_AT = 8 + 40 * _LUMP.size
_DICTIONARY = b"stringtable_dictionary.dct"
_DICTIONARY_WINDOW = 4 * 1024 * 1024


@dataclass(frozen=True)
class Notice:
    """A warning. `code` is stable and pages map it to text; `names` are the affected files or maps."""

    code: str
    names: tuple[str, ...]
    count: int


@dataclass(frozen=True)
class Inspection:
    valid: bool
    reason: str = ""
    title: str = ""
    author: str = ""
    version: str = ""
    website: str = ""
    campaigns: tuple[missions.Campaign, ...] = ()
    maps: tuple[str, ...] = ()
    warnings: tuple[Notice, ...] = ()
    paths: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """All fields except `paths`, as JSON-serialisable values."""
        data = asdict(self)
        del data["paths"]
        return data

    @property
    def chapters(self) -> list[dict[str, object]]:
        """Every map once, with its title, campaign and game modes; also maps that no campaign names."""
        return missions.by_map(self.campaigns, self.maps)


def inspect(path: Path, *, stock: Collection[str] = frozenset(), game: Path | None = None) -> Inspection:
    """Inspect the VPK at `path`; `stock` holds the paths of the game's own files.

    Titles that are tokens are looked up in the VPK, then in the installed `game`. Invalid content does not raise; the
    result then has `valid=False`.
    """
    try:
        with path.open("rb") as stream:
            return inspect_stream(stream, stock=stock, game=game)
    except vpk.NotValid as error:
        return Inspection(valid=False, reason=str(error))


def inspect_stream(
    stream: BinaryIO,
    *,
    stock: Collection[str] = frozenset(),
    game: Path | None = None,
    open_part: vpk.OpenPart | None = None,
) -> Inspection:
    """Inspect an open VPK file, with its numbered parts when `open_part` is given. Raises vpk.NotValid."""
    with contextlib.closing(vpk.Vpk(stream, open_part=open_part)) as pak:
        paths: list[str] = []
        kept: dict[str, vpk.Entry] = {}
        for entry in pak:
            if entry.is_in_part and open_part is None:
                raise vpk.NotValid(vpk.missing_part(entry.archive))
            if len(paths) < _MOST_PATHS:
                paths.append(entry.path)
            if _is_read(entry.path) and len(kept) < _MOST_MISSION_FILES + _MOST_MAPS + translations.MOST_FILES:
                kept[entry.path] = entry
        if not paths:
            raise vpk.NotValid("contains no files")
        return _inspection(pak, paths, kept, stock=stock, game=game)


def _inspection(
    pak: vpk.Vpk, paths: list[str], kept: dict[str, vpk.Entry], *, stock: Collection[str], game: Path | None
) -> Inspection:
    info = _addon_info(pak, kept)
    maps = {name: entry for name, entry in kept.items() if name.endswith(".bsp")}
    campaigns = tuple(missions.merge(_campaigns(pak, kept, game)))
    return Inspection(
        valid=True,
        title=info.text("addontitle")[:200],
        author=info.text("addonauthor")[:200],
        version=info.text("addonversion")[:50],
        website=next((c.website for c in campaigns if c.website), missions.website(info.text("addonURL0"))),
        campaigns=campaigns,
        maps=tuple(sorted(_map(name) for name in maps)),
        warnings=tuple(_warnings(pak, paths, maps, stock)),
        paths=tuple(sorted(set(paths))),
    )


def _is_read(path: str) -> bool:
    folder, _, name = path.rpartition("/")
    return (
        (folder == "missions" and name.endswith(".txt"))
        or (folder == "maps" and name.endswith(".bsp"))
        or path == "addoninfo.txt"
        or translations.is_source(path)
    )


def _addon_info(pak: vpk.Vpk, kept: dict[str, vpk.Entry]) -> keyvalues.Node:
    entry = kept.get("addoninfo.txt")
    if entry is None:
        return keyvalues.Node("")
    root = keyvalues.parse(texts.decode(pak.read(entry, limit=_LARGEST_TEXT_FILE)).text)
    return next((node for node in root.children if node.children), keyvalues.Node(""))


def _campaigns(pak: vpk.Vpk, kept: dict[str, vpk.Entry], game: Path | None) -> Iterator[missions.Campaign]:
    sources = [entry for name, entry in kept.items() if translations.is_source(name)][: translations.MOST_FILES]
    translate = Translations((pak.read(entry, limit=translations.LARGEST_FILE) for entry in sources), game=game)
    files = [entry for name, entry in kept.items() if name.startswith("missions/")]
    for entry in files[:_MOST_MISSION_FILES]:
        name = entry.path.removeprefix("missions/").removesuffix(".txt")
        yield from missions.read(pak.read(entry, limit=_LARGEST_TEXT_FILE), file=name, translate=translate)


def _warnings(
    pak: vpk.Vpk, paths: Sequence[str], maps: dict[str, vpk.Entry], stock: Collection[str]
) -> Iterator[Notice]:
    for code, names in (
        ("several_files", [f"_{number:03}.vpk" for number in pak.parts]),
        ("global_scripts", [p for p in paths if p in _GLOBAL_SCRIPTS]),
        ("game_scripts", [p for p in paths if p in _WHOLE_GAME_SCRIPTS or _is_weapon_script(p)]),
        ("replaces_game_files", [p for p in paths if p in stock and p not in OWN_FILES]),
        ("no_string_table", [_map(n) for n, entry in maps.items() if not _has_dictionary(pak, entry)]),
    ):
        if names:
            yield Notice(code, tuple(sorted(names)[:_MOST_NAMED]), len(names))


def _map(path: str) -> str:
    return path.removeprefix("maps/").removesuffix(".bsp")


def _is_weapon_script(path: str) -> bool:
    return path.startswith("scripts/weapon_") and path.endswith(".txt")


def _has_dictionary(pak: vpk.Vpk, entry: vpk.Entry) -> bool:
    """Whether a map contains its string table. Without one, players may crash while the game rebuilds it."""
    lump = pak.read_at(entry, _PAKFILE_LUMP_AT, _LUMP.size)
    if pak.read_at(entry, 0, len(_BSP_MAGIC)) != _BSP_MAGIC or len(lump) < _LUMP.size:
        return False
    first, second, third, _code = _LUMP.unpack(lump)
    # Left 4 Dead 2 writes (version, offset, length, code), other Source games (offset, length, version, code).
    for offset, length in ((second, third), (first, second)):
        if 0 < offset < entry.length and 0 < length <= entry.length - offset:
            # The file names are in the zip directory, which is at the end of the lump.
            window = min(length, _DICTIONARY_WINDOW)
            if _DICTIONARY in pak.read_at(entry, offset + length - window, window).lower():
                return True
    return False


@dataclass(frozen=True)
class Conflict:
    """A file contained in several items; the game uses that of the `winner`, the first in the blueprint's order."""

    path: str
    winner: str
    losers: tuple[str, ...]


def conflicts(items: Iterable[tuple[str, Iterable[str]]], *, limit: int) -> list[Conflict]:
    """Files contained in more than one of `items` (label and paths, the first wins); at most `limit`, by path."""
    owners: dict[str, str] = {}
    losers: dict[str, list[str]] = {}
    for label, paths in items:
        for path in paths:
            if path not in OWN_FILES and owners.setdefault(path, label) != label:
                losers.setdefault(path, []).append(label)
    return [Conflict(path, owners[path], tuple(losers[path])) for path in sorted(losers)[:limit]]


def pack_paths(paths: Sequence[str]) -> bytes:
    """Compress a list of paths for storage in a row."""
    return zlib.compress("\n".join(paths).encode())


def unpack_paths(packed: bytes) -> list[str]:
    """The paths that `pack_paths` compressed."""
    return [path for path in zlib.decompress(packed).decode().split("\n") if path]


def stock_paths(game: Path) -> frozenset[str]:
    """The paths in the game's own VPKs, which addons may replace; empty when the game is not installed."""
    paths: set[str] = set()
    for pak in sorted(game.glob("*/pak01_dir.vpk")):
        try:
            with pak.open("rb") as stream:
                paths.update(entry.path for entry in vpk.Vpk(stream))
        except (vpk.NotValid, OSError):
            continue
    return frozenset(paths)
