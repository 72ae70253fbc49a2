"""Finds the addons in an overlay's tree and inspects them: VPKs, missions in loose files, maps without a mission."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from left4me.core.files.tree import BadPath, Node, Parts, Tree
from workshop import inspection, missions, translations, vpk
from workshop.inspection import Inspection, Notice
from workshop.translations import Translations

# Folders that the game searches for content, by the names in its gameinfo.txt.
_GAME_FOLDERS = ("left4dead2", "left4dead2_dlc1", "left4dead2_dlc2", "left4dead2_dlc3", "update")
_ADDON_FOLDERS = (("left4dead2", "addons"), ("left4dead2", "addons", "workshop"))
_MOST = 2_000
_LARGEST_MISSION = 1024 * 1024


@dataclass(frozen=True)
class Stamp:
    """Identifies the content of a file without reading it."""

    size: int
    modified_us: int


# What the result of an inspection depends on: the content, and whether the game loads a VPK from that place.
Key = tuple[Stamp, bool]


@dataclass(frozen=True)
class Addon:
    """What was found. `inspection` is None for a VPK whose key is that of a known one."""

    path: str
    stamp: Stamp
    inspection: Inspection | None

    @property
    def is_broken(self) -> bool:
        return self.inspection is not None and not self.inspection.valid

    @property
    def key(self) -> Key:
        return key(self.path, self.stamp)


def key(path: str, stamp: Stamp) -> Key:
    return stamp, _is_loaded(tuple(path.split("/")))


@dataclass
class Finder:
    """Collects the entries of a walk through an overlay, then inspects them."""

    _files: dict[Parts, Stamp] = field(default_factory=dict)
    _maps: dict[str, list[tuple[str, Stamp]]] = field(default_factory=dict)
    _texts: list[Parts] = field(default_factory=list)

    def take(self, where: Parts, node: Node) -> None:
        """Consider one entry of the walk. Links are left out: their target may be anywhere."""
        if node.is_folder or node.is_link or len(self._files) >= _MOST:
            return
        name = node.name.lower()
        stamp = Stamp(node.size, max(0, int(node.modified * 1_000_000)))
        below = "/".join(where[1:]).lower() if where[0] in _GAME_FOLDERS else ""
        if name.endswith(".vpk") or (
            below.startswith("missions/") and below.count("/") == 1 and name.endswith(".txt")
        ):
            self._files[where] = stamp
        elif below.startswith("maps/") and below.count("/") == 1 and name.endswith(".bsp"):
            maps = self._maps.setdefault(f"{where[0]}/{where[1]}", [])
            if len(maps) < _MOST:
                maps.append((name.removesuffix(".bsp"), stamp))
        elif translations.is_source(below) and len(self._texts) < translations.MOST_FILES:
            self._texts.append(where)

    def inspect(self, tree: Tree, *, known: Container[Key], game: Path, check: Callable[[], None]) -> list[Addon]:
        """Inspect what was collected; VPKs whose key is `known` are not read again."""
        return [*self._loose(tree, game), *self._archives(tree, known, game, check)]

    def _archives(self, tree: Tree, known: Container[Key], game: Path, check: Callable[[], None]) -> Iterator[Addon]:
        stock: frozenset[str] | None = None
        for where, stamp in self._files.items():
            if not where[-1].lower().endswith(".vpk") or self._is_part(tree, where):
                continue
            check()
            addon = Addon("/".join(where), self._with_parts(where, stamp), None)
            if addon.key not in known or _is_directory(where):
                if stock is None:
                    stock = inspection.stock_paths(game)
                addon = replace(addon, inspection=self._inspect_vpk(tree, where, stock, game))
            yield addon

    def _with_parts(self, where: Parts, stamp: Stamp) -> Stamp:
        if not _is_directory(where):
            return stamp
        names = {(*where[:-1], vpk.part_name(where[-1], number)) for number in range(vpk.MOST_PARTS)}
        parts = [stamp, *(self._files[name] for name in names & self._files.keys())]
        return Stamp(sum(part.size for part in parts), max(part.modified_us for part in parts))

    def _is_part(self, tree: Tree, where: Parts) -> bool:
        """Whether the file is a numbered part of a VPK beside it. A whole VPK may have such a name as well."""
        directory = vpk.directory_of(where[-1])
        if directory is None or (*where[:-1], directory) not in self._files:
            return False
        return _head(tree, where) != vpk.MAGIC.to_bytes(4, "little")

    def _inspect_vpk(self, tree: Tree, where: Parts, stock: frozenset[str], game: Path) -> Inspection:
        def open_part(number: int) -> BinaryIO | None:
            try:
                return tree.open((*where[:-1], vpk.part_name(where[-1], number)))
            except BadPath:
                return None

        directory = vpk.directory_of(where[-1])
        try:
            with tree.open(where) as stream:
                found = inspection.inspect_stream(stream, stock=stock, game=game, open_part=open_part)
        except BadPath as reason:
            return Inspection(valid=False, reason=str(reason))
        except vpk.NotValid as reason:
            if directory is not None and _head(tree, where) != vpk.MAGIC.to_bytes(4, "little"):
                return Inspection(valid=False, reason=f"is part of {directory}, which is missing")
            return Inspection(valid=False, reason=str(reason))
        return found if _is_loaded(where) else _unloaded(found)

    def _loose(self, tree: Tree, game: Path) -> Iterator[Addon]:
        translate: Translations | None = None
        described: set[str] = set()
        for where, stamp in self._files.items():
            if not where[-1].lower().endswith(".txt"):
                continue
            if translate is None:
                translate = Translations((_read(tree, path) for path in self._texts), game=game)
            raw = _read(tree, where)[:_LARGEST_MISSION]
            found = tuple(missions.merge(missions.read(raw, file=PurePosixPath(where[-1]).stem, translate=translate)))
            if not found:
                continue
            described.update(str(entry["map"]) for entry in missions.by_map(found))
            website = next((campaign.website for campaign in found if campaign.website), "")
            yield Addon(
                "/".join(where),
                stamp,
                Inspection(
                    valid=True,
                    title=", ".join(campaign.title for campaign in found)[:200],
                    author=found[0].author[:200],
                    version=found[0].version[:50],
                    website=website,
                    campaigns=found,
                ),
            )
        yield from self._maps_without_mission(described)

    def _maps_without_mission(self, described: set[str]) -> Iterator[Addon]:
        for folder, maps in self._maps.items():
            others = sorted({name for name, _stamp in maps} - described)
            if others:
                size = sum(stamp.size for name, stamp in maps if name in others)
                modified = max(stamp.modified_us for _name, stamp in maps)
                yield Addon(folder, Stamp(size, modified), Inspection(valid=True, maps=tuple(others)))


def _is_directory(where: Parts) -> bool:
    # Its parts may have changed while it stayed the same.
    return where[-1].lower().endswith("_dir.vpk")


def _is_loaded(where: Parts) -> bool:
    """Whether the game loads a VPK from this place."""
    if where[:-1] in _ADDON_FOLDERS:
        return True
    return len(where) == 2 and where[0] in _GAME_FOLDERS and where[1].lower() == "pak01_dir.vpk"


def _unloaded(found: Inspection) -> Inspection:
    """A VPK in a place where the game does not look: its campaigns cannot be played."""
    return Inspection(
        valid=True,
        title=found.title,
        author=found.author,
        version=found.version,
        warnings=(Notice("not_loaded", ("left4dead2/addons",), 1),),
    )


def _head(tree: Tree, where: Parts) -> bytes:
    try:
        with tree.open(where) as stream:
            return stream.read(4)
    except BadPath:
        return b""


def _read(tree: Tree, where: Parts) -> bytes:
    try:
        with tree.open(where) as stream:
            return stream.read(translations.LARGEST_FILE)
    except BadPath:
        return b""
