"""English texts for tokens such as `#MyCampaign_Title`, from the resource files of a VPK, a tree or the game."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from left4me.core import texts
from workshop import keyvalues, vpk

LARGEST_FILE = 4 * 1024 * 1024
MOST_FILES = 32
_ENDING = "_english.txt"
# Subtitles: large, and no titles in them.
_CAPTIONS = ("closecaption", "subtitles")
_LONGEST_TEXT = 500


def is_source(path: str) -> bool:
    """Whether the file with this path below a game folder contains texts for tokens."""
    folder, _, name = path.lower().rpartition("/")
    return folder == "resource" and name.endswith(_ENDING) and not name.startswith(_CAPTIONS)


class Translations:
    """Looks up tokens in some resource files, then among the game's own, which are read only when they are needed."""

    def __init__(self, files: Iterable[bytes] = (), *, game: Path | None = None) -> None:
        self._texts: dict[str, str] = {}
        for raw in files:
            for token, text in read(raw).items():
                self._texts.setdefault(token, text)
        self._game = game

    def __call__(self, token: str) -> str | None:
        name = token.removeprefix("#").casefold()
        text = self._texts.get(name)
        if text is None and self._game is not None:
            text = of_game(self._game).get(name)
        return text if text and not text.startswith("#") else None


def read(raw: bytes) -> dict[str, str]:
    """The texts of a resource file by token, in lower case and without the leading #."""
    # Unlike other KeyValues files, these escape the quotation marks inside a text.
    root = keyvalues.parse(texts.decode(raw).text.replace('\\"', "'"))
    by_token: dict[str, str] = {}
    for node in root.children:
        for block in node.all("tokens") or [node]:
            for entry in block.children:
                if entry.value and not entry.is_excluded:
                    by_token.setdefault(entry.key.removeprefix("#").casefold(), entry.value[:_LONGEST_TEXT])
    return by_token


def of_game(game: Path) -> Mapping[str, str]:
    """The texts of the installed game; empty when it is not installed."""
    sources = sorted((*game.glob("*/resource/*" + _ENDING), *game.glob("*/pak01_dir.vpk")))
    stamps = []
    for path in sources:
        try:
            status = path.stat()
        except OSError:
            continue
        stamps.append((path, status.st_mtime_ns, status.st_size))
    return _texts_of(tuple(stamps))


@lru_cache(maxsize=1)
def _texts_of(sources: tuple[tuple[Path, int, int], ...]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for path, _modified, _size in sources:
        for raw in _contents(path):
            for token, text in read(raw).items():
                texts.setdefault(token, text)
    return texts


def _contents(path: Path) -> Iterator[bytes]:
    try:
        if path.suffix != ".vpk":
            if is_source(f"resource/{path.name}"):
                with path.open("rb") as stream:
                    yield stream.read(LARGEST_FILE)
            return
        with vpk.opened(path) as pak:
            entries = [entry for entry in pak if is_source(entry.path)]
            for entry in entries[:MOST_FILES]:
                yield pak.read(entry, limit=LARGEST_FILE)
    except (OSError, vpk.NotValid):
        return
