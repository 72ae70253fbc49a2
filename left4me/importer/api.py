"""Imports in the JSON API, for admins."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext as _
from ninja import Field, Query, Router, Schema, Status

from accounts.models import User
from accounts.permissions import administrator, user_named
from left4me.core.web.api import Body, Window, listed, page_of
from left4me.core.web.ids import Id
from left4me.importer import actions, permissions, presentation
from left4me.importer.forms import LONGEST_LAUNCH
from left4me.importer.models import Import
from left4me.jobs.api import JobOut
from left4me.jobs.models import Job
from servers.models import Host

router = Router(tags=["imports"])


class FileGroupOut(Schema):
    """How many files, their size, and the first of their paths."""

    name: str
    count: int
    size: int
    paths: list[str]


class PlannedItemOut(Schema):
    steam_id: int
    path: str
    title: str
    found_by: Literal["steam", "known", "content"]
    is_current: bool


class PlannedServerOut(Schema):
    key: str = Field(description="What `servers` of a request names")
    name: str
    port: int | None
    arguments: str
    config: str
    origin: str = Field(description="Where the launch line is from")
    config_from: str
    notes: list[str]
    server_id: int | None = Field(description="The server that was created from it")


class ImportedTreeOut(Schema):
    """A folder of the game in the directory."""

    game: str
    files: FileGroupOut
    left: list[FileGroupOut] = Field(description="What is left, by reason")
    items: list[PlannedItemOut]
    servers: list[PlannedServerOut]
    admins: int
    bans: int
    overlay_id: int | None
    workshop_overlay_id: int | None
    notes: list[str]


class ServerImportOut(Schema):
    id: int
    path: str
    owner: str
    host: str | None
    state: Literal["reading", "planned", "importing", "failed", "done"]
    job_id: int | None
    created_at: datetime
    finished_at: datetime | None


class ServerImportDetailOut(ServerImportOut):
    kind: Literal["linuxgsm", "pterodactyl", "docker", "plain", ""]
    notes: list[str]
    trees: list[ImportedTreeOut]


class DirectoryIn(Body):
    path: str = Field(max_length=1000, description="The full path of a directory on the machine of the web")
    owner: str | None = Field(None, description="The user who gets everything; default: yourself")
    host_id: Id | None = Field(None, description="Where the servers will run; default: the host of the web")
    launch: str = Field("", max_length=LONGEST_LAUNCH, description="A launch line, where the directory has none")


class CarryOutIn(Body):
    servers: list[str] | None = Field(None, description="The keys of the servers to create; default: all")


ImportPage = page_of(ServerImportOut, "ServerImportPage")


def _shown(row: Import) -> dict[str, Any]:
    return {
        "id": row.pk,
        "path": row.path,
        "owner": row.owner.get_username(),
        "host": row.host.name if row.host else None,
        "state": presentation.state_of(row),
        "job_id": row.job_id,
        "created_at": row.created_at,
        "finished_at": row.finished_at,
    }


def _detailed(row: Import) -> dict[str, Any]:
    plan = presentation.plan_of(row)
    trees = [_tree(tree) for tree in presentation.trees(row)]
    return {**_shown(row), "kind": plan.kind if plan else "", "notes": plan.notes if plan else [], "trees": trees}


def _tree(tree: presentation.ShownTree) -> dict[str, Any]:
    return {
        "game": tree.plan.game,
        "files": tree.plan.files,
        "left": list(tree.plan.left.values()),
        "items": tree.plan.items,
        "servers": [
            {**vars(each.plan), "key": each.key, "server_id": each.server.pk if each.server else None}
            for each in tree.servers
        ],
        "admins": len(tree.plan.admins),
        "bans": tree.plan.bans.count,
        "overlay_id": tree.overlay.pk if tree.overlay else None,
        "workshop_overlay_id": tree.workshop.pk if tree.workshop else None,
        "notes": [*tree.plan.notes, *tree.notes],
    }


def _owner(name: str | None, by: User) -> User:
    owner = user_named(name, by=by) if name is not None else by
    if owner is None:
        raise ValidationError({"owner": _("No user with that name.")})
    return owner


@router.get("/imports", response=ImportPage, summary="Imports of servers, newest first")
def list_imports(request: HttpRequest, window: Query[Window]) -> dict[str, Any]:
    """For admins."""
    administrator(request)
    page = listed(Import.objects.select_related("owner", "host", "job"), window)
    return {**page, "items": [_shown(row) for row in page["items"]]}


@router.post("/imports", response={202: ServerImportDetailOut}, summary="Read a directory, to import its servers")
def read_directory(request: HttpRequest, given: DirectoryIn) -> Status[dict[str, Any]]:
    """For admins. The job `job_id` makes the plan. Nothing is written until it is carried out."""
    user = administrator(request)
    host = Host.objects.filter(pk=given.host_id).first() if given.host_id is not None else None
    if given.host_id is not None and host is None:
        raise ValidationError({"host_id": _("This host does not exist.")})
    row = actions.request(path=given.path, owner=_owner(given.owner, user), by=user, host=host, launch=given.launch)
    return Status(202, _detailed(row))


@router.get(
    "/imports/{id:import_id}", response=ServerImportDetailOut, summary="An import with its plan and its result"
)
def get_import(request: HttpRequest, import_id: int) -> dict[str, Any]:
    return _detailed(permissions.import_to_see(administrator(request), import_id))


@router.post("/imports/{id:import_id}/carry-out", response={202: JobOut}, summary="Carry out the plan of an import")
def carry_out_import(request: HttpRequest, import_id: int, given: CarryOutIn) -> Status[Job]:
    """A plan that was interrupted goes on where it was."""
    user = administrator(request)
    row = permissions.import_to_see(user, import_id)
    return Status(202, actions.carry_out(row=row, by=user, servers=given.servers))


@router.delete("/imports/{id:import_id}", response={204: None}, summary="Discard an import")
def discard_import(request: HttpRequest, import_id: int) -> Status[None]:
    """What it created stays."""
    user = administrator(request)
    actions.discard(row=permissions.import_to_see(user, import_id), by=user)
    return Status(204, None)
