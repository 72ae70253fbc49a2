"""The ASGI application through which worker hosts reach the desk: they send files of servers and take them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from servers.hosts import server_steps
from servers.hosts.server_steps import Who, whole
from servers.moves import desk


def _append(who: Who, piece: bytes, at: int) -> dict[str, Any]:
    return {"received": desk.append(*who, piece, at=at)}


def _pieces(who: Who, at: int) -> Iterator[bytes]:
    return desk.pieces(*who, at=at)


def _begin(who: Who, given: dict[str, Any]) -> dict[str, Any]:
    return {"received": desk.begin(*who, expected=whole(given, "expected"))}


def _sent(who: Who, given: dict[str, Any]) -> dict[str, Any]:
    desk.sent(*who, size=whole(given, "size"), sha256=str(given.get("sha256", "")))
    return {}


def _offer(who: Who, given: dict[str, Any]) -> dict[str, Any]:
    offered = desk.offer(*who)
    return {"size": offered.size, "sha256": offered.sha256}


def _taken(who: Who, given: dict[str, Any]) -> dict[str, Any]:
    return {"address": desk.taken(*who, sha256=str(given.get("sha256", "")))}


application = server_steps.Application(
    "move",
    steps={"begin": _begin, "sent": _sent, "offer": _offer, "taken": _taken},
    put=_append,
    read=_pieces,
)
