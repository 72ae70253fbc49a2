"""A server's log as an event stream: the viewers' side of `servers.logs.publisher`."""

from __future__ import annotations

import json
import logging
from typing import Any, cast

import redis

from left4me.core.redis import hosts, keys
from left4me.core.redis.client import client
from left4me.core.web.sse import Event, Message, Page, Position, Source, Standing
from left4me.core.web.sse.events import START, read_position, written
from servers import permissions
from servers.logs import publisher
from servers.models import Server

logger = logging.getLogger(__name__)

TAIL_TASK = "servers.tail"
_LINES_IN_A_PAGE = 500


def open_log(user: Any, number: str) -> ServerLog | None:
    """The stream of the server with this id; None when the user may not see such a server."""
    server = Server.objects.select_related("host").filter(pk=int(number)).first()
    if server is None or not permissions.can_see_server(user, server):
        return None
    log = ServerLog(server.pk, host=server.host.name)
    # At once instead of at the first check some seconds later: the first lines arrive while the viewer subscribes.
    log.watch()
    return log


class ServerLog(Source):
    """The event stream of one server's log: events `line`, and `note` where lines are missing. It never ends."""

    def __init__(self, server_id: int, *, host: str) -> None:
        self._server_id = server_id
        self._host = host

    @property
    def channel(self) -> str:
        return keys.server_log_channel(self._server_id)

    def decode(self, raw: bytes) -> Message:
        message = json.loads(raw)
        events = tuple(_line(line) for line in message["lines"])
        return Message(events, after=read_position(message["after"]) or START)

    def standing(self, user: Any) -> Standing:
        server = Server.objects.filter(pk=self._server_id).first()
        if server is None or not permissions.can_see_server(user, server):
            return Standing(allowed=False, newest=START, ended=True)
        self.watch()
        newest = _entries(client().xrevrange(keys.server_log(self._server_id), count=1))
        return Standing(allowed=True, newest=newest[0][0] if newest else START, ended=False)

    def replay(self, after: Position) -> Page:
        key = keys.server_log(self._server_id)
        if after == START:
            lines = _entries(client().xrevrange(key, count=publisher.FIRST_LINES))[::-1]
            return Page(tuple(_event(*line) for line in lines), lines[-1][0] if lines else START)
        lines = _entries(client().xrange(key, min=f"({written(after)}", count=_LINES_IN_A_PAGE))
        events = [_event(*line) for line in lines]
        if lines and self._is_cut_off(after):
            events.insert(0, Event("note", "Some lines are not shown; download the log to see them.", lines[0][0]))
        position = lines[-1][0] if lines else after
        return Page(tuple(events), position, more=len(lines) == _LINES_IN_A_PAGE)

    def _is_cut_off(self, after: Position) -> bool:
        oldest = _entries(client().xrange(keys.server_log(self._server_id), count=1))
        return bool(oldest) and oldest[0][0] > after

    def watch(self) -> None:
        """Renew the key that keeps the tailer running, and have the host start one if there is none."""
        try:
            client().set(keys.server_log_watched(self._server_id), "1", ex=publisher.WATCH_SECONDS)
            has_tailer = client().exists(keys.server_log_tailer(self._server_id))
        except redis.RedisError as error:
            logger.warning("the log of server %s could not be requested from its host: %s", self._server_id, error)
            return
        if not has_tailer:
            hosts.send(self._host, TAIL_TASK, self._server_id, expires=10)


def _entries(raw: Any) -> list[tuple[Position, dict[str, str]]]:
    return [
        (
            read_position(identifier.decode()) or START,
            {k.decode(): v.decode("utf-8", "replace") for k, v in fields.items()},
        )
        for identifier, fields in cast("list[tuple[bytes, dict[bytes, bytes]]]", raw)
    ]


def _event(position: Position, fields: dict[str, str]) -> Event:
    return _line({"id": written(position), "text": fields.get("text", ""), "at": fields.get("at", "")})


def _line(line: dict[str, str]) -> Event:
    data = json.dumps({"line": line["text"], "at": line["at"]}, ensure_ascii=False, separators=(",", ":"))
    return Event("line", data, read_position(line["id"]))
