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

from django.contrib.messages import get_messages
from django.db import transaction
from django.test import Client

from left4me.tests.permission_table import operations, said, schema_of_api
from left4me.tests.permission_world import MISSING, World


@dataclass(frozen=True)
class Reference:
    """`given(id)` makes what `method` sends to `path`; `kind` says whose id it is, as a world knows it.

    `missing` is the id, or the name, of nothing.
    """

    method: str
    path: str
    kind: str
    given: Callable[[Any], dict[str, Any]]
    missing: Any = MISSING

    @property
    def field(self) -> str:
        return list(self.given(0))[-1]

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.field}"

    def answer(self, client: Client, own: World, named: Any) -> tuple[int, str]:
        """The status, and what was said apart from numbers. Nothing stays, not even a message for the next page."""
        cookies = copy.copy(client.cookies)
        path = self._filled(self.path, own)
        given = {name: self._filled(value, own) for name, value in self.given(named).items()}
        with transaction.atomic():
            if f"{self.method} {self.path}" in _BY_QUERY:
                response = getattr(client, self.method)(path, query_params=given)
            elif self.method == "get" or not self.path.startswith("/api/"):
                response = getattr(client, self.method)(path, given)
            else:
                response = getattr(client, self.method)(path, json.dumps(given), content_type="application/json")
            transaction.set_rollback(True)
        client.cookies = cookies
        told = " ".join(_NUMBER.sub("", str(message)) for message in get_messages(response.wsgi_request))
        return response.status_code, said(response) + told

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
        nobodys = self.answer(client, own, self.missing)
        faults = [f"{self}: tells what is there ({theirs[0]}) from what is not ({nobodys[0]})"] * (theirs != nobodys)
        if mine[0] >= 400:
            faults.append(f"{self}: refuses one's own object ({mine[0]}), so it proves nothing")
        if theirs == mine:
            faults.append(f"{self}: accepts somebody else's object ({theirs[0]})")
        return faults


def _api(method: str, path: str, kind: str, given: Callable[[Any], dict[str, Any]]) -> Reference:
    return Reference(method, f"/api/v1{path}", kind, given)


# Whose objects are named in their query and not in their body.
_BY_QUERY = {f"{method} /api/v1/banlists/{{shared_list}}/subscription" for method in ("put", "delete")}
_NUMBER = re.compile(r"\d+")
_BAN = {"target": "76561197960265999", "minutes": 0}
_SCHEDULE = {"name": "nightly", "action": "restart", "cron": "0 5 * * *"}
_PLAN = {"action": "start", "when": "always", "which": "all", "at_once": "2"}
_BULK = {"action": "start", "at_once": 1}
_SETTINGS = {"name": "new", "version": 1, "port": "{port}"}
_BLUEPRINT = {"name": "new", "version": 1}

REFERENCES = [
    _api("post", "/servers", "blueprints", lambda pk: {"name": "new", "blueprint_id": pk}),
    _api("patch", "/servers/{servers}", "other_blueprint", lambda pk: {"blueprint_id": pk}),
    _api("post", "/servers/actions", "servers", lambda pk: {"operation": "start", "server_ids": [pk]}),
    _api("post", "/blueprints", "private", lambda pk: {"name": "new", "overlays": [pk]}),
    _api("patch", "/blueprints/{blueprints}", "private_files", lambda pk: {"version": 1, "overlays": [pk]}),
    _api("post", "/bans", "banlists", lambda pk: {**_BAN, "list_id": pk}),
    _api("post", "/bans", "servers", lambda pk: {**_BAN, "server_id": pk}),
    _api("get", "/bans", "servers", lambda pk: {"server": pk}),
    _api("get", "/bans", "banlists", lambda pk: {"list": pk}),
    _api("put", "/banlists/{shared_list}/subscription", "servers", lambda pk: {"server": pk}),
    _api("delete", "/banlists/{shared_list}/subscription", "servers", lambda pk: {"server": pk}),
    _api("get", "/jobs", "servers", lambda pk: {"resource": f"server:{pk}"}),
    _api("get", "/matches", "servers", lambda pk: {"server": pk}),
    _api("get", "/matches", "players", lambda pk: {"player": pk}),
    _api("get", "/players", "servers", lambda pk: {"server": pk}),
    _api("get", "/servers", "username", lambda name: {"owner": name}),
    _api("post", "/players/{players}/notes", "username", lambda name: {"text": "x", "owner": str(name)}),
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
    Reference("post", "/servers/{servers}/settings", "other_blueprint", lambda pk: {**_SETTINGS, "blueprint": pk}),
    Reference("post", "/servers/{servers}/demos/delete", "demo_pk", lambda pk: {"demo": pk}),
    Reference("post", "/servers/actions", "servers", lambda pk: {"operation": "start", "server": pk}),
    Reference("post", "/blueprints/new", "private", lambda pk: {"name": "new", "overlays": pk}),
    Reference("post", "/blueprints/{blueprints}/edit", "private_files", lambda pk: {**_BLUEPRINT, "overlays": pk}),
    Reference("post", "/blueprints/findings", "private_files", lambda pk: {"config": "exec mine", "overlays": pk}),
    Reference("get", "/overlays/conflicts", "private", lambda pk: {"overlay": pk}),
    Reference("get", "/schedules/new", "servers", lambda pk: {"server": pk}),
    Reference("get", "/bulk/new", "servers", lambda pk: {**_PLAN, "server": pk}),
    Reference("post", "/bulk/new", "servers", lambda pk: {**_PLAN, "server": pk}),
    Reference("post", "/bulk/new", "blueprints", lambda pk: {**_PLAN, "blueprint": pk}),
    Reference("get", "/bulk/new", "blueprints", lambda pk: {**_PLAN, "blueprint": pk}),
    Reference("get", "/bans", "servers", lambda pk: {"server": pk}),
    Reference("get", "/bans", "banlists", lambda pk: {"list": pk}),
    Reference("get", "/bans/new", "servers", lambda pk: {"server": pk}),
    Reference("post", "/bans/new", "servers", lambda pk: {**_BAN, "place": f"server:{pk}"}),
    Reference("post", "/bans/new", "own_list", lambda pk: {**_BAN, "place": f"list:{pk}"}),
    Reference("get", "/bans/import", "servers", lambda pk: {"server": pk}),
    Reference("get", "/bans/import", "own_list", lambda pk: {"list": pk}),
    Reference("post", "/banlists/{shared_list}/subscription", "servers", lambda pk: {"on": "yes", "server": pk}),
    Reference("get", "/matches", "servers", lambda pk: {"server": pk}),
    Reference("get", "/matches", "players", lambda pk: {"player": pk}),
    Reference("get", "/players", "servers", lambda pk: {"server": pk}),
    Reference("post", "/players/{players}/notes", "users", lambda pk: {"text": "x", "owner": pk}),
    Reference("get", "/jobs", "servers", lambda pk: {"resource": f"server:{pk}"}),
    Reference("post", "/status-pages/new", "servers", lambda pk: {"title": "new", "servers": pk}),
    Reference("post", "/accounts/alerts/{alerts}/message/", "status-pages", lambda pk: {"page": pk}),
]

# The fields that name an object by a word of their own; what ends with `_id` does so too.
_NAMES = {"server", "servers", "overlays", "blueprint", "list", "player", "resource", "owner", "demo", "match"}
# What is named by these is for every user to see, or asked by admins only.
_OPEN = {
    "host_id": "hosts are seen by everybody",
    "template_id": "templates are for everybody",
    "number": "a version has its number within a blueprint",
}


def fields() -> dict[str, set[str]]:
    """The fields by which bodies and queries of the API name objects, by method and address."""
    found: dict[str, set[str]] = {}
    for (pattern, method), operation in operations().items():
        names = {each["name"] for each in operation.get("parameters", []) if each["in"] == "query"}
        for content in operation.get("requestBody", {}).get("content", {}).values():
            names |= set(_properties(content["schema"]))
        if "/imports" in pattern:
            # Only admins import, and see everything.
            continue
        if naming := {name for name in names if _names_object(name)} - _OPEN.keys():
            found[f"{method} {pattern}"] = naming
    return found


def uncovered() -> list[str]:
    """The fields of `fields` of which no reference is asked."""
    asked = {(each.method, re.sub(r"{[\w-]+}", "<>", each.path), each.field) for each in REFERENCES}
    return [
        f"{place} {name}"
        for place, names in fields().items()
        for name in sorted(names)
        if (place.partition(" ")[0], re.sub(r"<\w+>", "<>", place.partition(" ")[2]), name) not in asked
    ]


def _names_object(name: str) -> bool:
    return name.endswith(("_id", "_ids")) or name in _NAMES


def _properties(schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        return _properties(schema_of_api()["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    return dict(schema.get("properties", {}))
