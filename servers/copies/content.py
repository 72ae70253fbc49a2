"""The ASGI application through which worker hosts send copies of their servers, and take those of lost hosts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from left4me.core.web.asgi import Refusal
from servers.copies import desk
from servers.hosts import server_steps
from servers.hosts.server_steps import Who, is_check, whole


def _put(who: Who, piece: bytes, at: int) -> dict[str, Any]:
    del at  # pieces have no place of their own
    desk.put(*who, piece)
    return {}


def _read(who: Who, at: int) -> Iterator[bytes]:
    return desk.pieces(*who, at=at)


def _begin(who: Who, given: dict[str, Any]) -> dict[str, Any]:
    del given
    return {"most": desk.begin(*who)}


def _missing(who: Who, given: dict[str, Any]) -> dict[str, Any]:
    return {"missing": desk.missing(*who, _list(given, "pieces"))}


def _finish(who: Who, given: dict[str, Any]) -> dict[str, Any]:
    told = desk.Told(
        list_of_pieces=_digest(given, "list"),
        sha256=_digest(given, "sha256"),
        sent=whole(given, "sent"),
        left_out=whole(given, "left_out"),
        left_out_paths=[str(path) for path in _list(given, "left_out_paths")],
    )
    desk.finish(*who, told)
    return {}


def _offer(who: Who, given: dict[str, Any]) -> dict[str, Any]:
    del given
    offered = desk.offer(*who)
    return {name: getattr(offered, name) for name in ("size", "sha256", "copied_at", "lost_host")}


def _taken(who: Who, given: dict[str, Any]) -> dict[str, Any]:
    del given
    desk.taken(*who)
    return {}


def _list(given: dict[str, Any], name: str) -> list[object]:
    value = given.get(name)
    if not isinstance(value, list):
        raise Refusal(400, f"“{name}” must be a list")
    return value


def _digest(given: dict[str, Any], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not is_check(value):
        raise Refusal(400, f"“{name}” must be a SHA-256")
    return value


application = server_steps.Application(
    "copy",
    steps={"begin": _begin, "missing": _missing, "finish": _finish, "offer": _offer, "taken": _taken},
    put=_put,
    read=_read,
)
