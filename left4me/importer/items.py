"""Which files of a source are items of Steam's workshop: by the number in their name, and by their bytes."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from left4me.importer import stock
from left4me.importer.plan import File, Item
from left4me.importer.source import Source
from workshop import cache, item_download, metadata, steam
from workshop.models import WorkshopItem

logger = logging.getLogger(__name__)

_ADDON: Final = re.compile(r"left4dead2/addons/(?:workshop/)?([^/]+)\.vpk", re.IGNORECASE)
_NUMBER: Final = re.compile(r"(?:workshop_|ws_?)?([1-9]\d{6,18})(?:_legacy)?", re.IGNORECASE)
_MOST_LOOKED_UP: Final = 5_000


@dataclass
class Recognised:
    """The items by the path of their file in the source, and whether Steam could not be asked."""

    items: dict[str, Item]
    steam_error: str = ""


def number_of(target: str) -> int | None:
    """The workshop number in the name of an addon; None if it has none."""
    addon = _ADDON.fullmatch(target)
    number = _NUMBER.fullmatch(addon[1]) if addon else None
    return int(number[1]) if number else None


def is_addon(target: str) -> bool:
    return _ADDON.fullmatch(target) is not None


def recognise(source: Source, files: Sequence[File], *, check: Callable[[], None]) -> Recognised:
    """Recognise items among the addons. What neither Steam nor this installation knows stays a file."""
    found = Recognised({})
    numbered = {file.source: number for file in files if (number := number_of(file.target)) is not None}
    known = WorkshopItem.objects.in_bulk(list(set(numbered.values())), field_name="steam_id")
    described: dict[int, steam.Item] = {}
    if numbered:
        described, found.steam_error = _ask_steam(sorted(set(numbered.values()))[:_MOST_LOOKED_UP], check)
    for file in files:
        number = numbered.get(file.source)
        if number is None:
            continue
        item, row = described.get(number), known.get(number)
        if item is not None and not item.problem and (item.file_size or item.file_url):
            is_current = item.file_size in (0, file.size)
            found.items[file.source] = Item(number, file.source, file.size, item.title, "steam", is_current)
        elif item is None and row is not None and not row.steam_error:
            is_current = row.file_size in (0, file.size)
            found.items[file.source] = Item(number, file.source, file.size, row.title, "known", is_current)
    _by_content(source, [file for file in files if file.source not in found.items], found, check)
    return found


def _ask_steam(numbers: list[int], check: Callable[[], None]) -> tuple[dict[int, steam.Item], str]:
    try:
        with metadata.connect() as api:
            check()
            return dict(api.all_items(numbers)), ""
    except steam.SteamError as fault:
        logger.info("Steam could not be asked about %d files of an import: %s", len(numbers), fault)
        return {}, str(fault)


def _by_content(source: Source, files: Sequence[File], found: Recognised, check: Callable[[], None]) -> None:
    """Recognise renamed files by comparing them with the cached items of the same size."""
    by_size: dict[int, list[WorkshopItem]] = {}
    sizes = {file.size for file in files if is_addon(file.target) and file.size}
    for row in WorkshopItem.objects.filter(file_size__in=sizes, cached_version__isnull=False):
        by_size.setdefault(row.file_size, []).append(row)
    directory = cache.directory() if by_size else None
    for file in files:
        for row in by_size.get(file.size, ()) if is_addon(file.target) else ():
            check()
            assert directory is not None  # noqa: S101 -- there is one where there are rows
            try:
                with (
                    item_download.cached_path(row.steam_id, directory).open("rb") as ours,
                    source.open(tuple(file.source.split("/"))) as theirs,
                ):
                    is_same = stock.walk_size(ours) == file.size and stock.digest(ours, file.size) == stock.digest(
                        theirs, file.size
                    )
            except OSError:
                continue
            if is_same:
                found.items[file.source] = Item(row.steam_id, file.source, file.size, row.title, "content")
                break
