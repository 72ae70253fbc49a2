"""docs/permissions.md as data: who may do what at which address. Tests and `bench/authz` compare it with answers."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.http.response import HttpResponseBase

from left4me.api import api
from left4me.testing.routes import Route, all_routes

DOCUMENT = Path(__file__).parents[2] / "docs" / "permissions.md"
ROLES = ("anonymous", "stranger", "viewer", "operator", "owner", "admin")
SCOPES = ("read", "operate", "admin")
METHODS = ("get", "post", "put", "patch", "delete")
# Of Django's admin, which lets admins in and sends everybody else to the login page; test_admin.py looks at it.
DJANGO_ADMIN = "/admin/"


@dataclass(frozen=True)
class Row:
    pattern: str
    method: str
    right: str

    def __str__(self) -> str:
        return f"{self.method} {self.pattern}"

    @property
    def is_api(self) -> bool:
        return self.pattern.startswith("/api/")


def table(title: str) -> list[list[str]]:
    """The cells of the table under a heading of the document."""
    lines = DOCUMENT.read_text().partition(f"## {title}\n")[2].partition("\n## ")[0].splitlines()
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return rows[2:]


OF_TOKENS = {right: dict(zip(SCOPES, cells, strict=True)) for right, *cells in table("Tokens of admins")}
RIGHTS = {right: dict(zip(ROLES, cells, strict=True)) for right, *cells in table("Rights")}
ROWS = [
    Row(pattern, method, right)
    for pattern, methods, right in table("Addresses")
    for method in methods.lower().split(", ")
]
# The streams, which Django's addresses do not contain; with the right that each needs.
STREAMS = dict(table("Streams"))


@functools.cache
def schema_of_api() -> dict[str, Any]:
    """The document of the API. It takes a second to make, and each process of the suite imports this module."""
    return dict(api.get_openapi_schema())


@functools.cache
def operations() -> dict[tuple[str, str], dict[str, Any]]:
    """The operations of the API, by address and method."""
    return {
        (re.sub(r"{(\w+)}", r"<\1>", path), method): operation
        for path, methods in schema_of_api()["paths"].items()
        for method, operation in methods.items()
    }


def plain(pattern: str) -> str:
    return re.sub(r"<(?:\w+:)?(\w+)>", r"<\1>", pattern)


def routes() -> list[Route]:
    """The addresses of the application's own pages and of its API."""
    return [route for route in all_routes() if not route.pattern.startswith(DJANGO_ADMIN)]


def unlisted() -> list[str]:
    """The addresses, and methods of the API, that the document does not name."""
    documented = {(plain(row.pattern), row.method) for row in ROWS}
    missing = []
    for pattern in sorted({route.pattern for route in routes()}):
        methods = [method for method in METHODS if (plain(pattern), method) in operations()]
        missing += [f"{method} {pattern}" for method in methods if (plain(pattern), method) not in documented]
        if not methods and not any((plain(pattern), method) in documented for method in ("get", "post")):
            missing.append(pattern)
    return missing


def leads_to_another_object(row: Row) -> bool:
    """Whether an address names an object of an object, both by ids.

    A version and a cfg file have names within a blueprint or server; a status page is for everybody.
    """
    names = re.findall(r"<(?:\w+:)?(\w+)>", row.pattern)
    return len(names) > 1 and names[-1] not in {"number", "file"} and row.right != "visit"


def contexts(row: Row) -> list[tuple[str, str]]:
    """The rights of a row with whose overlay is meant: Anna's own or one of the catalog."""
    if row.right in RIGHTS:
        return [(row.right, "private")]
    if overlay_kind(row.pattern) == "_script":
        # A script runs on a host, so only the catalog has such overlays.
        places = ["catalog"]
    else:
        # The collection of the world is followed by the private overlay.
        places = ["private"] if "collection_id" in row.pattern else ["private", "catalog"]
    return [(f"{row.right}: {place}", place) for place in places]


def overlay_kind(pattern: str) -> str:
    """Which kind of overlay an address is for: most are for each, or for one of workshop items."""
    if any(part in pattern for part in ("/files", "/deleted-files", "/uploads", "/backups", "/plugins", "/fetches")):
        return "_files"
    return "_script" if pattern.endswith("/script") else ""


def sample(schema: dict[str, Any], definitions: dict[str, Any]) -> Any:
    """The least that an operation accepts: permission is asked for, not validation."""
    if "$ref" in schema:
        return sample(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    if "anyOf" in schema:
        return sample(schema["anyOf"][0], definitions)
    if schema.get("type") == "object":
        needed = schema.get("required", [])
        return {name: sample(schema["properties"][name], definitions) for name in needed}
    if schema.get("minItems"):
        return [sample(schema["items"], definitions)]
    return {"string": "x", "integer": 1, "number": 1, "boolean": True, "array": []}[schema["type"]]


# The fields of bodies that name objects, with the word by which a world knows these.
FIELDS = {
    "server_id": "servers",
    "server_ids": "servers",
    "servers": "servers",
    "blueprint_id": "blueprints",
    "host_id": "hosts",
    "list_id": "banlists",
    "overlays": "private",
    "status_page_id": "status-pages",
}


def body(row: Row, ids: Mapping[str, Any]) -> Any:
    """A body that names objects of a world."""
    operation = operations().get((plain(row.pattern), row.method), {})
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    made = sample(content["schema"], schema_of_api()["components"]["schemas"]) if content else {}
    for name in FIELDS.keys() & made.keys():
        made[name] = [ids[FIELDS[name]]] if isinstance(made[name], list) else ids[FIELDS[name]]
    return made


def outcome(response: HttpResponseBase) -> str:
    """An answer in the document's words."""
    status = response.status_code
    if status == 401 or (status == 302 and response["Location"].startswith("/accounts/login")):
        return "sign in"
    # 502 names Steam, which is not there; with 503, /ready says that no worker is.
    return str(status) if status in {403, 404, 405} or (status >= 500 and status not in {502, 503}) else "yes"


def said(response: Any) -> str:
    """What an answer tells besides the address and the numbers that were asked with, and what differs each time."""
    text = response.content.decode() + response.headers.get("Location", "")
    return re.sub(r"[A-Za-z0-9]{64}|\d+|value=\"[^\"]*\"|nonce[-=]\S+|undo/[\w-]+|(?<=[\"'])/[\w./-]+", "", text)


def expected_of_token(row: Row, right: str, scope: str, role: str) -> str:
    """What a token of somebody in this role gets: never more than its scope, and never more than the role."""
    if scope == "read" and (row.method not in {"get", "post"} if right == "try out" else row.method != "get"):
        return "403"
    if scope == "read" and row.pattern.endswith("/rcon-password"):
        return "403"
    # Archives hold configuration files with passwords, and SourceTV has a password of its own.
    if scope == "read" and row.pattern.endswith(("<id:backup_id>/download", "/sourcetv")) and role == "owner":
        return "403"
    # Programs are allowed, and players forgotten, with the scope admin only, whoever asks.
    if scope != "admin" and (role == "admin" or right.startswith(("allow programs", "forget player"))):
        return OF_TOKENS[right][scope]
    return RIGHTS[right][role]
