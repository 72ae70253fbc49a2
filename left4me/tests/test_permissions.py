"""Every address of an object, asked by everybody: what docs/permissions.md says is what happens, and it says all."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone

from accounts.tests.factories import bearer, make_token
from left4me.alerts.tests.factories import make_channel
from left4me.api import api
from left4me.backups.tests.factories import make_backup
from left4me.schedules.models import BulkAction, Run
from left4me.schedules.tests.factories import make_schedule
from left4me.status_pages.models import StatusMessage
from left4me.status_pages.tests.factories import make_page
from left4me.testing.cast import Cast
from left4me.testing.routes import all_routes
from livestate.bans.tests.factories import make_ban, make_list
from livestate.models import Order
from livestate.tests.factories import make_note, make_session
from overlays import paths
from overlays.files import trash
from overlays.models import DeletedFile, Overlay, OverlayAddon, OverlayCollection, OverlayWorkshopItem, Upload
from overlays.tests.factories import make_overlay
from servers.blueprints import versions
from servers.models import BlueprintVersion, GamePerson, ServerShare
from servers.tests.factories import make_blueprint, make_host, make_server, share
from workshop.models import WorkshopItem

DOCUMENT = Path(__file__).parents[2] / "docs" / "permissions.md"
ROLES = ("anonymous", "stranger", "viewer", "operator", "owner", "admin")
KINDS = {
    "servers",
    "blueprints",
    "overlays",
    "hosts",
    "alerts",
    "schedules",
    "bulk",
    "status-pages",
    "bans",
    "banlists",
    "players",
    "notes",
}
METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True)
class Row:
    pattern: str
    method: str
    right: str

    def __str__(self) -> str:
        return f"{self.method} {self.pattern}"


def table(title: str) -> list[list[str]]:
    """The cells of the table under a heading of the document."""
    lines = DOCUMENT.read_text().partition(f"## {title}\n")[2].partition("\n## ")[0].splitlines()
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return rows[2:]


SCOPES = ("read", "operate", "admin")
OF_TOKENS = {right: dict(zip(SCOPES, cells, strict=True)) for right, *cells in table("Tokens of admins")}
RIGHTS = {right: dict(zip(ROLES, cells, strict=True)) for right, *cells in table("Rights")}
ROWS = [
    Row(pattern, method, right)
    for pattern, methods, right in table("Addresses")
    for method in methods.lower().split(", ")
]


# Made once: to make it takes half a second.
SCHEMA = api.get_openapi_schema()


def operations() -> dict[tuple[str, str], dict[str, Any]]:
    """The API's operations from its own document, by (pattern without converters, method)."""
    return {
        (re.sub(r"{(\w+)}", r"<\1>", path), method): operation
        for path, methods in SCHEMA["paths"].items()
        for method, operation in methods.items()
    }


OPERATIONS = operations()


def plain(pattern: str) -> str:
    return re.sub(r"<(?:\w+:)?(\w+)>", r"<\1>", pattern)


def object_patterns() -> set[str]:
    return {route.pattern for route in all_routes() if route.kind in KINDS and not route.pattern.startswith("/admin")}


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
    return {"string": "x", "integer": 1, "number": 1, "boolean": True, "array": []}[schema["type"]]


def body(row: Row) -> Any:
    operation = OPERATIONS[plain(row.pattern), row.method]
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    return sample(content["schema"], SCHEMA["components"]["schemas"]) if content else {}


@dataclass
class World:
    """One object of each kind, Anna's, and what hangs on it."""

    ids: dict[str, int]

    def address(self, pattern: str, *, place: str) -> str:
        """The pattern filled in; `place` says whose overlay is meant: private, or of the catalog."""
        kind = re.search(r"/([\w-]+)/<", pattern)[1]
        ids = {**self.ids, "overlays": self.ids[place + overlay_kind(pattern)]}
        named = iter(re.findall(r"<(?:\w+:)?(\w+)>", pattern))
        first = next(named)
        path = re.sub(rf"<(?:\w+:)?{first}>", str(ids[kind]), pattern, count=1)
        if kind == "overlays":
            ids["backup_id"] = self.ids[f"{place}_backup"]
        ids["upload_id"] = self.ids[f"{place}_upload"]
        ids["deleted_id"] = self.ids[f"{place}_deleted"]
        ids["addon_id"] = self.ids[f"{place}_addon"]
        for name in named:
            path = re.sub(rf"<(?:\w+:)?{name}>", str(ids[name]), path)
        return path


def overlay_kind(pattern: str) -> str:
    """Which kind of overlay an address is for: most are for each, or for one of workshop items."""
    if "/files" in pattern or "/deleted-files" in pattern or "/uploads" in pattern or "/backups" in pattern:
        return "_files"
    return "_script" if pattern.endswith("/script") else ""


@pytest.fixture
def world(cast: Cast, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis_client: object) -> World:
    settings.LEFT4ME_ROOT = tmp_path
    # Nothing answers there: what asks Steam must be allowed to, not to succeed.
    settings.LEFT4ME_STEAM_API_URL = "http://127.0.0.1:9"
    monkeypatch.setattr("workshop.steam._BACK_OFF_SECONDS", ())
    # A silent host refuses at once what only it could answer.
    host = make_host(last_seen_at=None)
    private = make_overlay(owner=cast.owner, kind=Overlay.Kind.WORKSHOP)
    catalog = make_overlay(kind=Overlay.Kind.WORKSHOP)
    item = WorkshopItem.objects.create(steam_id=7)
    for overlay in (private, catalog):
        OverlayWorkshopItem.objects.create(overlay=overlay, item=item)
    files = {place: make_overlay(owner=owner) for place, owner in (("private", cast.owner), ("catalog", None))}
    upload = {
        place: Upload.objects.create(overlay=files[place], user=cast.owner, path="a", size=1, unpack=True)
        for place in files
    }
    addon = {
        place: OverlayAddon.objects.create(overlay=overlay, path="left4dead2/addons/a.vpk", is_valid=True)
        for place, overlay in (("private", private), ("catalog", catalog))
    }
    deleted = {
        place: DeletedFile.objects.create(overlay=overlay, path="a", deleted_at=timezone.now())
        for place, overlay in files.items()
    }
    trash.directory().mkdir(parents=True)
    for row in deleted.values():
        # Something else is at its place: a restore must be allowed to, not to succeed.
        for file in (trash.directory() / str(row.pk), paths.directory(row.overlay) / row.path):
            file.parent.mkdir(exist_ok=True)
            file.touch()
    collection = OverlayCollection.objects.create(overlay=private, steam_id=8)
    server = make_server(cast.owner, host=host, blueprint=make_blueprint(cast.owner, overlays=[private, catalog]))
    share(server, cast.viewer)
    person = GamePerson.objects.create(server=server, steam_id=76561197960265729)
    entry = GamePerson.objects.create(blueprint=server.blueprint, steam_id=76561197960265729)
    lent = share(server, cast.operator, ServerShare.Role.OPERATOR)
    order = Order.objects.create(server=server, user=cast.owner, kind="command", value="x", created_at=timezone.now())
    schedule = make_schedule(cast.owner, after=timezone.now(), server=server)
    bulk = BulkAction.objects.create(user=cast.owner, origin="selection", action="restart")
    run = Run.objects.create(server=server, user=cast.owner, action="restart", due_at=timezone.now())
    ban_list = make_list(cast.owner, is_default=True)
    version = BlueprintVersion.objects.create(
        blueprint=server.blueprint, number=1, content=versions.content(server.blueprint, [])
    )
    ids = {
        "number": version.number,
        "servers": server.pk,
        "blueprints": server.blueprint_id,
        "hosts": host.pk,
        "bans": make_ban(ban_list).pk,
        "banlists": ban_list.pk,
        "players": make_session(server, 101, timezone.now()).steam_id_64,
        "notes": make_note(101, cast.owner).pk,
        "alerts": make_channel(cast.owner).pk,
        "schedules": schedule.pk,
        "bulk": bulk.pk,
        # Bodies are made from the schema, where every id is 1.
        "status-pages": make_page(cast.owner, server, pk=1).pk,
        "backup_id": make_backup(server).pk,
        "private_backup": make_backup(files["private"]).pk,
        "catalog_backup": make_backup(files["catalog"]).pk,
        "run_pk": run.pk,
        "private": private.pk,
        "catalog": catalog.pk,
        "private_files": files["private"].pk,
        "catalog_files": files["catalog"].pk,
        "catalog_script": make_overlay(kind=Overlay.Kind.SCRIPT).pk,
        "private_upload": upload["private"].pk,
        "catalog_upload": upload["catalog"].pk,
        "private_deleted": deleted["private"].pk,
        "catalog_deleted": deleted["catalog"].pk,
        "private_addon": addon["private"].pk,
        "catalog_addon": addon["catalog"].pk,
        "person_pk": person.pk,
        "person_id": person.pk,
        "entry_pk": entry.pk,
        "entry_id": entry.pk,
        "share_pk": lent.pk,
        "share_id": lent.pk,
        "order_pk": order.pk,
        "order_id": order.pk,
        "steam_id": item.steam_id,
        "collection_id": collection.pk,
    }
    StatusMessage.objects.create(channel_id=ids["alerts"], page_id=ids["status-pages"])
    return World(ids)


def answer(cast: Cast, role: str, row: Row, path: str) -> str:
    """What the role gets, in the document's words; nothing of it stays."""
    client = Client()
    if role != "anonymous":
        client.force_login(getattr(cast, role))
    return answer_to(client, row, path)


def answer_to_token(cast: Cast, scope: str, row: Row, path: str) -> str:
    """What an admin's token gets."""
    return answer_to(Client(headers=bearer(make_token(cast.admin, scope=scope))), row, path)


def answer_to(client: Client, row: Row, path: str) -> str:
    sent = {"data": body(row), "content_type": "application/json"} if row.pattern.startswith("/api/") else {}
    with transaction.atomic():
        response = getattr(client, row.method)(path, **({} if row.method == "get" else sent))
        transaction.set_rollback(True)
    status = response.status_code
    if status == 401 or (status == 302 and response["Location"].startswith("/accounts/login")):
        return "sign in"
    # 502 names Steam, which is not there.
    return str(status) if status in {403, 404, 405} or (status >= 500 and status != 502) else "yes"


def test_every_address_of_an_object_stands_in_the_document() -> None:
    documented = {(plain(row.pattern), row.method) for row in ROWS}
    missing = []
    for pattern in sorted(object_patterns()):
        methods = [method for method in METHODS if (plain(pattern), method) in OPERATIONS]
        if pattern.startswith("/api/"):
            missing += [f"{m} {pattern}" for m in methods if (plain(pattern), m) not in documented]
        elif not any((plain(pattern), m) in documented for m in ("get", "post")):
            missing.append(pattern)
    assert not missing, f"Add to docs/permissions.md, with the right that each needs: {missing}"


def test_the_document_names_only_what_there_is() -> None:
    there = {plain(pattern) for pattern in object_patterns()}
    assert {plain(row.pattern) for row in ROWS} <= there
    assert {row.right for row in ROWS} <= {name.partition(": ")[0] for name in RIGHTS}


def contexts(row: Row) -> list[tuple[str, str]]:
    """The rights of a row: an overlay is Anna's own or of the catalog."""
    if row.right in RIGHTS:
        return [(row.right, "private")]
    # A script runs on a host, so only the catalog has such overlays.
    places = ("catalog",) if overlay_kind(row.pattern) == "_script" else ("private", "catalog")
    return [(f"{row.right}: {place}", place) for place in places]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_everybody_gets_what_the_document_says(cast: Cast, world: World, row: Row) -> None:
    for (right, place), role in itertools.product(contexts(row), ROLES):
        path = world.address(row.pattern, place=place)
        if place == "catalog" and "collection_id" in row.pattern:
            continue
        assert (role, right, answer(cast, role, row, path)) == (role, right, RIGHTS[right][role])


@pytest.mark.parametrize("row", [row for row in ROWS if row.pattern.startswith("/api/")], ids=str)
def test_a_token_of_an_admin_is_no_admin_below_its_scope(cast: Cast, world: World, row: Row) -> None:
    for (right, place), scope in itertools.product(contexts(row), SCOPES):
        expected = OF_TOKENS[right][scope]
        if scope == "read" and (row.method != "get" or row.pattern.endswith("/rcon-password")):
            expected = "403"
        got = answer_to_token(cast, scope, row, world.address(row.pattern, place=place))
        assert (scope, right, got) == (scope, right, expected)


@pytest.mark.parametrize("pattern", sorted(object_patterns()))
def test_a_method_that_the_document_does_not_name_is_not_allowed(cast: Cast, world: World, pattern: str) -> None:
    named = {row.method for row in ROWS if plain(row.pattern) == plain(pattern)}
    path = world.address(pattern, place="catalog" if overlay_kind(pattern) == "_script" else "private")
    client = Client()
    client.force_login(cast.admin)
    for method in set(METHODS) - named:
        assert getattr(client, method)(path).status_code == 405, f"{method} {path}"
