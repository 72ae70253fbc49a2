"""A client for the parts of the Steam Web API that left4me uses: published files, collections, player summaries.

Responses are untrusted: numbers may be strings, fields may be missing, a whole body may be empty. Unusable parts are
left out or reported as a problem. Every failure is a SteamError whose message names Steam.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from left4me.core.net import fetch
from left4me.core.web.ids import LARGEST_ID

LEFT_4_DEAD_2 = 550
BATCH = 100
DEEPEST_COLLECTION = 3

_OK = 1
_VISIBLE_TO_ALL = 3
_LARGEST_ANSWER = 16 * 1024 * 1024
_SECONDS_PER_ANSWER = 30.0
_SECONDS_BETWEEN_CALLS = 1.0
_BACK_OFF_SECONDS = (1.0, 3.0)
_LONGEST_BACK_OFF = 30.0
_MOST_COLLECTIONS = 200
_RESULTS = {
    2: "Steam could not look it up",
    8: "Steam does not accept this ID",
    9: "not found on Steam: it was deleted or hidden, or the ID is wrong",
    10: "Steam is busy; try again later",
    15: "access denied: the item is private or friends-only",
    16: "Steam timed out; try again later",
    84: "Steam's rate limit was reached; try again later",
}


class SteamError(Exception):
    """A request to Steam failed, or its response is unusable; the message names Steam."""


class SteamUnavailable(SteamError):
    """No connection, a timeout, too many requests, or an error at Steam: a later request may succeed."""


class SteamRefused(SteamError):
    """Steam rejected the request (a wrong key, invalid parameters)."""


@dataclass(frozen=True)
class Item:
    """A published file as Steam describes it. `problem` is the reason why it cannot be used, or empty."""

    steam_id: int
    result: int = _OK
    title: str = ""
    filename: str = ""
    file_url: str = ""
    file_size: int = 0
    time_updated: int = 0
    preview_url: str = ""
    consumer_app_id: int = 0
    banned: bool = False
    tags: tuple[str, ...] = ()

    @property
    def problem(self) -> str:
        if self.result != _OK:
            return _result_words(self.result)
        if self.consumer_app_id != LEFT_4_DEAD_2:
            return f"for another game (app {self.consumer_app_id}), not Left 4 Dead 2"
        if self.banned:
            return "banned from the workshop"
        return ""


@dataclass(frozen=True)
class Collection:
    """The items of a collection and of the collections inside it, in order.

    `problems` gives the reason for each id that was left out.
    """

    steam_id: int
    items: tuple[int, ...]
    problems: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Player:
    steam_id_64: int
    persona_name: str
    avatar_url: str
    is_private: bool = False


class Steam:
    """A Steam client with a minimum interval between calls. `pause` sleeps and may raise to cancel."""

    def __init__(
        self,
        *,
        base_url: str,
        client: fetch.Client,
        api_key: str = "",
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._base = base_url.rstrip("/")
        self._client = client
        self._key = api_key
        self._pause = pause
        self._last_call: float | None = None

    def items(self, ids: Sequence[int]) -> dict[int, Item]:
        """Steam's metadata of up to 100 ids; the result contains every requested id. Raises SteamError."""
        answer = self._post("ISteamRemoteStorage/GetPublishedFileDetails/v1", "itemcount", ids)
        items = {item.steam_id: item for entry in _entries(answer, "publishedfiledetails") if (item := _item(entry))}
        return {steam_id: items.get(steam_id, Item(steam_id, result=9)) for steam_id in ids}

    def all_items(self, ids: Sequence[int]) -> dict[int, Item]:
        """Like `items`, for any number of ids, in batches. Raises SteamError if any batch fails."""
        items: dict[int, Item] = {}
        for batch in batches(ids):
            items.update(self.items(batch))
        return items

    def collection(self, steam_id: int) -> Collection:
        """A collection with those nested in it up to three levels deep, each once. Raises SteamError."""
        children: dict[int, list[tuple[int, bool]]] = {}
        problems: dict[int, str] = {}
        level = [steam_id]
        for depth in range(DEEPEST_COLLECTION + 1):
            level = [i for i in dict.fromkeys(level) if i not in children]
            if not level:
                break
            if depth == DEEPEST_COLLECTION or len(children) + len(level) > _MOST_COLLECTIONS:
                problems.update((i, "this collection is nested too deeply") for i in level)
                break
            for batch in batches(level):
                for collection_id, problem, entries in self._collections(batch):
                    children[collection_id] = entries
                    if problem:
                        problems[collection_id] = problem
            level = [child for i in level for child, nested in children.get(i, []) if nested]
        return Collection(steam_id, tuple(_flatten(steam_id, children)), problems)

    def collections_among(self, ids: Sequence[int]) -> frozenset[int]:
        """The ids that are those of collections with content. Raises SteamError."""
        found = (entry for batch in batches(ids) for entry in self._collections(batch))
        return frozenset(steam_id for steam_id, _problem, children in found if children)

    def players(self, ids: Sequence[int]) -> list[Player]:
        """Names and pictures of up to 100 players, in Steam's order; unknown ids are missing. Raises SteamError."""
        if not self._key:
            raise SteamRefused("Player names need a Steam Web API key; set STEAM_WEB_API_KEY")
        query = urlencode({"key": self._key, "steamids": ",".join(str(i) for i in ids[:BATCH])})
        answer = self._call(lambda: self._client.get(f"{self._base}/ISteamUser/GetPlayerSummaries/v2/?{query}"))
        entries = answer.get("players")
        return [p for entry in (entries if isinstance(entries, list) else []) if (p := _player(entry))]

    def _collections(self, ids: Sequence[int]) -> Iterator[tuple[int, str, list[tuple[int, bool]]]]:
        answer = self._post("ISteamRemoteStorage/GetCollectionDetails/v1", "collectioncount", ids)
        by_id = {_number(e.get("publishedfileid")): e for e in _entries(answer, "collectiondetails")}
        for steam_id in ids:
            entry = by_id.get(steam_id, {"result": 9})
            children = _children(entry.get("children"))
            problem = _result_words(_number(entry.get("result")))
            # For an item that is not a collection, Steam reports success without children.
            yield steam_id, problem or ("" if children else "not a collection, or an empty collection"), children

    def _post(self, method: str, count: str, ids: Sequence[int]) -> dict[str, Any]:
        fields = {count: str(len(ids))} | {f"publishedfileids[{n}]": str(i) for n, i in enumerate(ids)}
        return self._call(lambda: self._client.post_form(f"{self._base}/{method}/", fields))

    def _call(self, request: Callable[[], contextlib.AbstractContextManager[fetch.Answer]]) -> dict[str, Any]:
        """Make a call, with up to three attempts when Steam is busy or unreachable."""
        for wait in (*_BACK_OFF_SECONDS, None):
            self._keep_pace()
            try:
                with request() as answer:
                    return _response(answer)
            except _Busy as busy:
                if wait is None:
                    raise SteamUnavailable(str(busy)) from busy
                self._pause(min(busy.retry_after or wait, _LONGEST_BACK_OFF))
            except fetch.FetchError as error:
                if wait is None or isinstance(error, fetch.HostRefused):
                    raise SteamUnavailable(f"Steam cannot be reached: {self._without_key(str(error))}") from None
                self._pause(wait)
        raise AssertionError("the last try either returns or raises")

    def _keep_pace(self) -> None:
        now = time.monotonic()
        if self._last_call is not None and (left := self._last_call + _SECONDS_BETWEEN_CALLS - now) > 0:
            self._pause(left)
        self._last_call = time.monotonic()

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "…") if self._key else text


class _Busy(Exception):
    def __init__(self, text: str, retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(text)


def batches(ids: Sequence[int], size: int = BATCH) -> Iterator[Sequence[int]]:
    unique = list(dict.fromkeys(ids))
    for start in range(0, len(unique), size):
        yield unique[start : start + size]


def _response(answer: fetch.Answer) -> dict[str, Any]:
    if answer.status == 429 or answer.status >= 500:
        retry = answer.headers.get("Retry-After", "")
        text = "Steam's rate limit was reached" if answer.status == 429 else "Steam has an internal error"
        raise _Busy(f"{text} (HTTP status {answer.status})", float(retry) if retry.isdecimal() else None)
    if answer.status != 200:
        raise SteamRefused(f"Steam refused the request (HTTP status {answer.status})")
    body = answer.body(limit=_LARGEST_ANSWER, within=_SECONDS_PER_ANSWER)
    if not body.strip():
        raise _Busy("Steam returned an empty response")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise _Busy("Steam returned a response that is not JSON") from None
    response = document.get("response") if isinstance(document, dict) else None
    if not isinstance(response, dict):
        raise _Busy("Steam returned a response without content")
    return response


def _result_words(result: int) -> str:
    return "" if result == _OK else _RESULTS.get(result, f"Steam returned result {result}")


def _entries(answer: dict[str, Any], key: str) -> list[dict[str, Any]]:
    entries = answer.get(key)
    if not isinstance(entries, list):
        raise SteamUnavailable("Steam returned a response without content")
    return [entry for entry in entries if isinstance(entry, dict)]


def _item(entry: dict[str, Any]) -> Item | None:
    steam_id = _number(entry.get("publishedfileid"))
    if not steam_id:
        return None
    tags = entry.get("tags")
    return Item(
        steam_id=steam_id,
        result=_number(entry.get("result")),
        title=_text(entry.get("title"), 200),
        filename=_text(entry.get("filename"), 255),
        file_url=_text(entry.get("file_url"), 1000),
        file_size=_number(entry.get("file_size")),
        time_updated=_number(entry.get("time_updated")),
        preview_url=_text(entry.get("preview_url"), 1000),
        consumer_app_id=_number(entry.get("consumer_app_id") or entry.get("consumer_appid")),
        banned=bool(_number(entry.get("banned"))),
        tags=tuple(
            _text(tag.get("tag"), 50) for tag in (tags if isinstance(tags, list) else []) if isinstance(tag, dict)
        ),
    )


def _children(value: object) -> list[tuple[int, bool]]:
    """The (id, is a collection) of the children of a collection, in order."""
    entries = [e for e in value if isinstance(e, dict)] if isinstance(value, list) else []
    entries.sort(key=lambda entry: _number(entry.get("sortorder")))
    pairs = [(_number(e.get("publishedfileid")), _number(e.get("filetype"))) for e in entries]
    # File type 0 is an item and 2 a collection; other types (art, guides) cannot be loaded by a game.
    return [(steam_id, filetype == 2) for steam_id, filetype in pairs if steam_id and filetype in (0, 2)]


def _flatten(root: int, children: dict[int, list[tuple[int, bool]]]) -> dict[int, None]:
    items: dict[int, None] = {}
    seen: set[int] = set()
    stack = [(root, True)]
    while stack:
        steam_id, nested = stack.pop()
        if not nested:
            items[steam_id] = None
        elif steam_id not in seen:
            seen.add(steam_id)
            stack.extend(reversed(children.get(steam_id, [])))
    return items


def _player(entry: object) -> Player | None:
    if not isinstance(entry, dict) or not (steam_id := _number(entry.get("steamid"))):
        return None
    return Player(
        steam_id,
        _text(entry.get("personaname"), 128),
        _text(entry.get("avatarmedium"), 500),
        is_private=entry.get("communityvisibilitystate", _VISIBLE_TO_ALL) != _VISIBLE_TO_ALL,
    )


def _number(value: object) -> int:
    """A number that may be a string; 0 for anything else, and for a number too large for a row."""
    try:
        number = int(value) if isinstance(value, int | float | str) else 0
    except (ValueError, OverflowError):
        return 0
    return number if 0 <= number <= LARGEST_ID else 0


def _text(value: object, longest: int) -> str:
    """The printable characters of a text, at most `longest` of them; empty for other types."""
    if not isinstance(value, str):
        return ""
    return "".join(c for c in value if c.isprintable()).strip()[:longest]
