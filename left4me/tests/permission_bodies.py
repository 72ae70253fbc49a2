"""Requests that name an object in their body or query, for users who name what is somebody else's.

Each is made three times: with an object of one's own, with one of somebody else's and with one that is not there. The
last two must be answered alike, and not as the first.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.test import Client

from left4me.tests.permission_table import said
from left4me.tests.permission_world import MISSING, World


@dataclass(frozen=True)
class Reference:
    """`given(id)` makes what `method` sends to `path`; `kind` says whose id it is, as a world knows it."""

    method: str
    path: str
    kind: str
    given: Callable[[Any], dict[str, Any]]

    def __str__(self) -> str:
        return f"{self.method} {self.path} {list(self.given(0))[-1]}"

    def answer(self, client: Client, own: World, named: Any) -> tuple[int, str]:
        """The status, and what was said apart from numbers. Nothing stays, not even a message for the next page."""
        cookies = copy.copy(client.cookies)
        path = self._filled(self.path, own)
        given = {name: self._filled(value, own) for name, value in self.given(named).items()}
        with transaction.atomic():
            if self.method == "get" or not self.path.startswith("/api/"):
                response = getattr(client, self.method)(path, given)
            else:
                response = getattr(client, self.method)(path, json.dumps(given), content_type="application/json")
            transaction.set_rollback(True)
        client.cookies = cookies
        return response.status_code, said(response)

    @staticmethod
    def _filled(text: Any, own: World) -> Any:
        """`text` with the user's own objects in the place of their words: `{servers}`."""
        if not isinstance(text, str):
            return text
        return re.sub(r"{([\w-]+)}", lambda match: str(own.ids[match[1]]), text)

    def faults(self, client: Client, own: World, other: World) -> list[str]:
        """What is wrong with the answers to a user who has `own`."""
        mine = self.answer(client, own, own.ids[self.kind])
        theirs = self.answer(client, own, other.ids[self.kind])
        nobodys = self.answer(client, own, MISSING)
        faults = [f"{self}: tells what is there ({theirs[0]}) from what is not ({nobodys[0]})"] * (theirs != nobodys)
        if mine[0] >= 400:
            faults.append(f"{self}: refuses one's own object ({mine[0]}), so it proves nothing")
        if theirs == mine:
            faults.append(f"{self}: accepts somebody else's object ({theirs[0]})")
        return faults


def _api(method: str, path: str, kind: str, given: Callable[[Any], dict[str, Any]]) -> Reference:
    return Reference(method, f"/api/v1{path}", kind, given)


_BAN = {"target": "76561197960265999", "minutes": 0}
_SCHEDULE = {"name": "nightly", "action": "restart", "cron": "0 5 * * *"}
_PLAN = {"action": "start", "when": "always", "which": "all", "at_once": "2"}
_BULK = {"action": "start", "at_once": 1}

REFERENCES = [
    _api("post", "/servers", "blueprints", lambda pk: {"name": "new", "blueprint_id": pk}),
    _api("patch", "/servers/{servers}", "other_blueprint", lambda pk: {"blueprint_id": pk}),
    _api("post", "/servers/actions", "servers", lambda pk: {"operation": "start", "server_ids": [pk]}),
    _api("post", "/blueprints", "private", lambda pk: {"name": "new", "overlays": [pk]}),
    _api("patch", "/blueprints/{blueprints}", "private_files", lambda pk: {"version": 1, "overlays": [pk]}),
    _api("post", "/bans", "banlists", lambda pk: {**_BAN, "list_id": pk}),
    _api("post", "/bans", "servers", lambda pk: {**_BAN, "server_id": pk}),
    _api("get", "/bans", "banlists", lambda pk: {"list": pk}),
    _api("get", "/jobs", "servers", lambda pk: {"resource": f"server:{pk}"}),
    _api("post", "/schedules", "servers", lambda pk: {**_SCHEDULE, "server_id": pk}),
    _api("post", "/schedules", "blueprints", lambda pk: {**_SCHEDULE, "blueprint_id": pk}),
    _api("post", "/bulk/plan", "servers", lambda pk: {**_BULK, "servers": [pk]}),
    _api("post", "/bulk/plan", "blueprints", lambda pk: {**_BULK, "blueprint_id": pk}),
    _api("post", "/bulk", "servers", lambda pk: {**_BULK, "servers": [pk]}),
    _api("post", "/bulk", "blueprints", lambda pk: {**_BULK, "blueprint_id": pk}),
    _api("post", "/status-pages", "servers", lambda pk: {"title": "new", "server_ids": [pk]}),
    _api("patch", "/status-pages/{status-pages}", "servers", lambda pk: {"server_ids": [pk]}),
    _api("put", "/alerts/{alerts}/message", "status-pages", lambda pk: {"status_page_id": pk}),
    Reference(
        "post", "/servers/new", "blueprints", lambda pk: {"name": "new", "host": "{hosts}", "base": f"blueprint-{pk}"}
    ),
    Reference("get", "/servers/new", "blueprints", lambda pk: {"blueprint": pk}),
    Reference("post", "/servers/actions", "servers", lambda pk: {"operation": "start", "server": pk}),
    Reference("post", "/blueprints/new", "private", lambda pk: {"name": "new", "overlays": pk}),
    Reference("get", "/overlays/conflicts", "private", lambda pk: {"overlay": pk}),
    Reference("get", "/schedules/new", "servers", lambda pk: {"server": pk}),
    Reference("get", "/bulk/new", "servers", lambda pk: {**_PLAN, "server": pk}),
    Reference("post", "/bulk/new", "servers", lambda pk: {**_PLAN, "server": pk}),
    Reference("post", "/bulk/new", "blueprints", lambda pk: {**_PLAN, "blueprint": pk}),
    Reference("get", "/bans/new", "servers", lambda pk: {"server": pk}),
    Reference("post", "/bans/new", "servers", lambda pk: {**_BAN, "place": f"server:{pk}"}),
    Reference("post", "/bans/new", "own_list", lambda pk: {**_BAN, "place": f"list:{pk}"}),
    Reference("get", "/bans/import", "servers", lambda pk: {"server": pk}),
    Reference("post", "/status-pages/new", "servers", lambda pk: {"title": "new", "servers": pk}),
    Reference("post", "/accounts/alerts/{alerts}/message/", "status-pages", lambda pk: {"page": pk}),
]
