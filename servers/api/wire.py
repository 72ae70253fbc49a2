"""The schemas of requests and responses, and the functions that fill them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from ninja import Schema
from pydantic import Field

from left4me.alerts.attention import Reason, Subject
from left4me.core.web.api import Body, page_of
from left4me.core.web.ids import Id
from left4me.jobs.api import JobOut
from servers.actions import bulk, interruptions
from servers.blueprints import checks, inspection
from servers.blueprints.translation import Note
from servers.lifecycle.status import ServerStatus
from servers.models import Blueprint, Server, ServerShare
from servers.models.connect_ports import DEFAULT_CONNECT_PORTS
from workshop import inputs

State = Literal["unknown", "stopped", "starting", "running", "stopping", "crashed", "gave_up"]
Power = Literal["initialize", "start", "stop", "restart", "kill", "delete"]
Role = Literal["viewer", "operator"]
Lines = list[str] | str

READ_VERSION = "The version you read; if it is outdated, nothing changes and the response is 409"


class ReasonOut(Schema):
    kind: str = Field(
        description="Such as failed, gave_up, crashed_recently, unresponsive, drift, host_offline, disk_low"
    )
    severity: Literal["bad", "warn", "note"]
    label: str
    text: str
    url: str = Field(description="The page that shows more")
    cure: str | None = Field(description="The operation that mends it most often, if you may request it")


def reason(row: Reason) -> dict[str, Any]:
    """A `ReasonOut`."""
    return {
        "kind": row.kind,
        "severity": row.severity,
        "label": row.label,
        "text": row.text,
        "url": row.url,
        "cure": (row.cure.operation or None) if row.cure else None,
    }


class SubjectOut(Schema):
    kind: Literal["server", "host", "overlay"]
    id: int
    name: str
    url: str
    severity: Literal["bad", "warn", "note"] = Field(description="That of its worst reason")
    reasons: list[ReasonOut] = Field(description="The worst first")


def subject(row: Subject) -> dict[str, Any]:
    """A `SubjectOut`."""
    own = {name: getattr(row, name) for name in ("kind", "id", "name", "url", "severity")}
    return {**own, "reasons": [reason(each) for each in row.reasons]}


SubjectPage = page_of(SubjectOut, "SubjectPage")


class ServerOut(Schema):
    id: int
    name: str
    owner: str
    role: Literal["owner", "admin", "operator", "viewer"] = Field(description="Your role")
    host: str
    port: int
    number: int = Field(description="Its number among the servers of its blueprint, for the name in the game")
    tv_port: int | None = Field(description="The SourceTV port, reserved while the server or its blueprint enables it")
    offered_port: int | None = Field(
        description="A free port, if the last start failed because another program uses the server's port"
    )
    tags: list[str] = Field(description="Words to filter by")
    blueprint_id: int
    blueprint: str = Field(description="The blueprint's name")
    desired_state: Literal["running", "stopped"]
    actual_state: State
    actual_state_at: datetime | None
    shown_state: str = Field(description="The operation in progress, else the observed state")
    has_drifted: bool = Field(description="The observed state is not the desired one, and no job is in progress")
    restart_needed: bool = Field(description="Changes apply at the next restart")
    last_error: str
    attention: list[ReasonOut] = Field(description="Why it needs attention, the worst first")
    hung_since: datetime | None = Field(description="Unresponsive since then")
    restart_when_hung: bool
    started_at: datetime | None = Field(description="Of the running game, also after a crash")
    starts_again_at: datetime | None = Field(description="When a crashed game is restarted, where the host knows it")
    failed_starts: int = Field(description="Attempts of the start that is wanted that have failed")
    next_start_at: datetime | None = Field(description="When the next attempt is made; null if none is")
    game_version: str
    job: JobOut | None = Field(description="The queued or active job")
    version: int
    created_at: datetime


def server(status: ServerStatus) -> dict[str, Any]:
    """A `ServerOut`."""
    row = status.server
    own = {name: getattr(row, name) for name in ServerOut.model_fields if hasattr(row, name)}
    return {
        **own,
        "starts_again_at": row.starts_again_at if row.actual_state == Server.State.CRASHED else None,
        "owner": row.owner.get_username(),
        "tags": row.tag_list,
        "role": status.role,
        "host": row.host.name,
        "blueprint": row.blueprint.name,
        "actual_state": Server.State.UNKNOWN if status.host_is_down else row.actual_state,
        "shown_state": status.status,
        "has_drifted": status.has_drifted,
        "restart_needed": status.restart_needed,
        "attention": [reason(each) for each in status.attention],
        "job": status.job,
    }


ServerPage = page_of(ServerOut, "ServerPage")


class ServerCreated(ServerOut):
    refused_items: dict[str, str] = Field(description="Why Steam's items that were left out cannot be used, by id")


class ServerIn(Body):
    name: str = Field(max_length=64)
    blueprint_id: Id | None = Field(None, description="One of yours; or give `template_id`")
    template_id: Id | None = Field(None, description="A blueprint is created from this template")
    items: str = Field(
        "",
        max_length=inputs.LONGEST_INPUT,
        description="Workshop ids and links of items and collections; they get an overlay in a copy of the blueprint",
    )
    config: Lines = Field(default_factory=list, description="Further lines for server.cfg, in a copy of the blueprint")
    start_map: str = Field("", max_length=100, description="The first map, in a copy of the blueprint")
    start: bool = Field(False, description="Start it as soon as its content is built; `job` is the start")
    host: str | None = Field(None, max_length=63, description="Default: the first host that accepts new servers")
    port: int | None = Field(None, ge=1024, le=65535, description="Default: the next free port")
    restart_when_hung: bool = False
    tags: list[str] = Field(default_factory=list)


class ServerChange(Body):
    version: int | None = Field(None, description=READ_VERSION + "; without it, the change is always made")
    name: str | None = Field(None, max_length=64)
    blueprint_id: Id | None = None
    port: int | None = Field(None, ge=1024, le=65535)
    restart_when_hung: bool | None = None
    tags: list[str] | None = None


class ActionIn(Body):
    operation: Power
    interrupt: str = Field("", max_length=40, description=interruptions.INTERRUPT)


class ManyActionsIn(Body):
    operation: Literal["start", "stop", "restart"]
    server_ids: list[Id] = Field(max_length=bulk.MOST)


class OutcomeOut(Schema):
    server_id: int
    job: JobOut | None
    refusal: str = Field(description="Why there is no job; empty with one")


class ChangeOut(Schema):
    area: Literal["settings", "plugins", "overlays", "items", "arguments", "config", "texts", "access"]
    before: str
    after: str


class PendingOut(Schema):
    restart_needed: bool
    changes: list[ChangeOut]


class PasswordOut(Schema):
    rcon_password: str


class ShareOut(Schema):
    id: int
    username: str
    role: Role
    created_at: datetime

    @staticmethod
    def resolve_username(share: ServerShare) -> str:
        return share.user.get_username()


SharePage = page_of(ShareOut, "SharePage")


class ShareIn(Body):
    username: str = Field(max_length=64)
    role: Role = "viewer"


class LayerOut(Schema):
    id: int
    name: str
    kind: Literal["files", "workshop", "script"]
    expose_cfg: bool
    content_version: int


class FindingOut(Schema):
    field: Literal["arguments", "config"]
    line: int
    message: str


class BlueprintOut(Schema):
    id: int
    name: str
    description: str
    owner: str
    arguments: list[str] = Field(description="One argument per line, with its values")
    config: list[str] = Field(description="The lines of server.cfg")
    motd: str = Field(description="The message of the day: text, a page in HTML, or an address")
    banner: str = Field(description="The banner above the list of players, in the same forms")
    overlays: list[LayerOut] = Field(description="Highest priority first")
    server_ids: list[int] = Field(description="The servers that use it")
    connect_ports: str = Field(description="The TCP ports that games may connect to")
    allow_ptrace: bool = Field(description="Whether crash reporters may trace the game")
    warnings: list[FindingOut] = Field(description="Warnings: lines that are probably a mistake")
    notes: list[FindingOut] = Field(
        description="What left4me does with lines; after a change also what was removed from a launch line"
    )
    version: int
    created_at: datetime
    updated_at: datetime


class ConflictOut(Schema):
    winner: str = Field(description="An overlay, a VPK or a workshop item")
    losers: list[str]
    paths: list[str]


class SpellingOut(Schema):
    layer: str
    path: str


class ConflictsOut(Schema):
    groups: list[ConflictOut] = Field(description="Files in more than one layer, by layers")
    letter_case: list[list[SpellingOut]] = Field(description="Names of one file that differ only in letter case")
    is_cut: bool = Field(description="True if there are more")


def blueprint(row: Blueprint, *, translated: Sequence[Note] = ()) -> dict[str, Any]:
    """A `BlueprintOut`. `translated` is what became of a pasted launch line that this request brought."""
    return _blueprint(row, inspection.findings(row), translated)


def blueprints(rows: Sequence[Blueprint]) -> list[dict[str, Any]]:
    """A `BlueprintOut` for each row; the number of queries does not depend on their number."""
    findings = inspection.findings_of_many(rows)
    return [_blueprint(row, findings[row.pk]) for row in rows]


def _blueprint(row: Blueprint, found: Sequence[checks.Finding], translated: Sequence[Note] = ()) -> dict[str, Any]:
    return {
        "id": row.pk,
        "name": row.name,
        "description": row.description,
        "owner": row.owner.get_username(),
        "arguments": checks.config_lines(row.arguments) if row.arguments else [],
        "config": checks.config_lines(row.config) if row.config else [],
        "motd": row.motd,
        "banner": row.banner,
        "overlays": row.layers,
        "server_ids": sorted(server.pk for server in row.servers.all()),
        "connect_ports": row.connect_ports,
        "allow_ptrace": row.allow_ptrace,
        "warnings": [finding for finding in found if finding.severity != checks.Severity.NOTED],
        "notes": [*translated, *(finding for finding in found if finding.severity == checks.Severity.NOTED)],
        "version": row.version,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


BlueprintPage = page_of(BlueprintOut, "BlueprintPage")


class TemplateOut(Schema):
    id: int
    name: str
    description: str
    arguments: str
    config: str


class BlueprintIn(Body):
    name: str = Field(max_length=64)
    description: str = Field("", max_length=2000)
    arguments: Lines = Field(
        default_factory=list, description="Lines, or one text; a whole launch line or start script is translated"
    )
    config: Lines = Field(default_factory=list, description="Lines, or one text with line breaks")
    motd: str = ""
    banner: str = ""
    connect_ports: str = Field(DEFAULT_CONNECT_PORTS, max_length=500, description="For example 80, 443, 27015-27050")
    allow_ptrace: bool = False
    overlays: list[Id] = Field(default_factory=list, description="IDs of overlays, highest priority first")


class BlueprintChange(Body):
    version: int = Field(description=READ_VERSION)
    name: str | None = Field(None, max_length=64)
    description: str | None = Field(None, max_length=2000)
    arguments: Lines | None = None
    config: Lines | None = None
    motd: str | None = None
    banner: str | None = None
    connect_ports: str | None = Field(None, max_length=500)
    allow_ptrace: bool | None = None
    overlays: list[Id] | None = None


class ImportIn(Body):
    yaml: str


class ImportOut(Schema):
    blueprint: BlueprintOut
    made: list[str] = Field(description="Workshop overlays that were created for it; build them next")
    missing: list[str] = Field(description="Overlays that do not exist here and were left out")
    people: list[str] = Field(description="Who is now listed as admin or player of its games")
    unknown_users: list[str] = Field(description="Listed users who do not exist here and were left out")


def text(lines: Lines) -> str:
    return lines if isinstance(lines, str) else "\n".join(lines)
