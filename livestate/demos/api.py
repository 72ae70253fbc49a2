"""JSON API for demos, and for the settings of SourceTV."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from django.http import HttpRequest, HttpResponseBase
from ninja import Query, Router, Schema, Status
from pydantic import Field

from accounts.permissions import signed_in
from left4me.core.web.api import Body, Window, changed_fields, listed, page_of, require_scope
from left4me.jobs.api import JobOut
from left4me.jobs.models import Job
from livestate.demos import actions, lookups, views
from livestate.demos.models import Demo
from servers import lookups as server_lookups
from servers.actions import sourcetv
from servers.models import Server
from servers.sourcetv import options
from servers.sourcetv.options import Options

router = Router(tags=["demos"])


class DemoPlayerOut(Schema):
    steam_id_64: str = Field(description="A string, because the number exceeds JavaScript's exact integers")
    name: str


class DemoOut(Schema):
    id: int
    file: str = Field(description="Its path in the game's tree")
    size: int
    state: Literal["recording", "complete", "unfinished", "damaged"] = Field(
        description="unfinished: the game was ended before the recording, so that its times are estimated; damaged: "
        "the file is no demo"
    )
    map: str
    network_protocol: int = Field(description="Of the version of the game that can play it; 0 if unknown")
    ticks: int
    started_at: datetime
    ended_at: datetime = Field(description="While it is recorded: when the game wrote to it last")
    seconds: float
    players: list[DemoPlayerOut] = Field(description="Who was on the server meanwhile")


class DemoQuery(Window):
    start: datetime | None = Field(None, description="Only demos that end after this time")
    end: datetime | None = Field(None, description="Only demos that begin before this time")


class SourceTvOut(Schema):
    is_enabled: bool
    records: bool = Field(description="Whether every map is recorded")
    delay: int = Field(description="Of the broadcast, in seconds; demos have none")
    spectators: int = Field(description="How many can connect; 0: SourceTV only records")
    password: str = Field(description="Of spectators")
    keep_days: int = Field(description="0: as long as the site allows")
    keep_gb: int = Field(description="0: as much as the site allows")
    port: int | None = Field(description="The port that is reserved for SourceTV")


class SourceTvIn(Body):
    """Fields that are left out stay as they are."""

    is_enabled: bool | None = None
    records: bool | None = None
    delay: int | None = Field(None, ge=0, le=options.LONGEST_DELAY)
    spectators: int | None = Field(None, ge=0, le=options.MOST_SPECTATORS)
    password: str | None = Field(None, max_length=options.LONGEST_PASSWORD)
    keep_days: int | None = Field(None, ge=0, le=options.MOST_DAYS)
    keep_gb: int | None = Field(None, ge=0, le=options.MOST_GB)


DemoPage = page_of(DemoOut, "DemoPage")


@router.get("/servers/{id:server_id}/demos", response=DemoPage, summary="Demos of a server, the latest first")
def list_demos(request: HttpRequest, server_id: int, query: Query[DemoQuery]) -> dict[str, Any]:
    server = server_lookups.server_or_404(signed_in(request), server_id)
    rows = Demo.objects.filter(server=server)
    if query.start is not None:
        rows = rows.filter(ended_at__gt=query.start)
    if query.end is not None:
        rows = rows.filter(started_at__lt=query.end)
    page = listed(rows, query)
    return {**page, "items": _demos(page["items"])}


@router.get("/servers/{id:server_id}/demos/{id:demo_id}", response=DemoOut, summary="Get a demo")
def get_demo(request: HttpRequest, server_id: int, demo_id: int) -> dict[str, Any]:
    server = server_lookups.server_or_404(signed_in(request), server_id)
    return _demos([lookups.demo_or_404(server, demo_id)])[0]


@router.get("/servers/{id:server_id}/demos/{id:demo_id}/download", response=None, summary="The file of a demo")
def download_demo(request: HttpRequest, server_id: int, demo_id: int) -> HttpResponseBase:
    """`Range` continues an interrupted download. A demo that is still recorded is refused."""
    server = server_lookups.server_or_404(signed_in(request), server_id)
    return views.file_response(request, lookups.demo_or_404(server, demo_id))


@router.delete("/servers/{id:server_id}/demos/{id:demo_id}", response={202: JobOut}, summary="Delete a demo")
def delete_demo(request: HttpRequest, server_id: int, demo_id: int) -> Status[Job]:
    require_scope(request, "operate")
    user = signed_in(request)
    server = server_lookups.server_to_edit(user, server_id)
    return Status(202, actions.delete(server=server, demos=[lookups.demo_or_404(server, demo_id)], by=user))


@router.get("/servers/{id:server_id}/sourcetv", response=SourceTvOut, summary="Get the settings of SourceTV")
def get_sourcetv(request: HttpRequest, server_id: int) -> dict[str, Any]:
    server = server_lookups.server_to_edit(signed_in(request), server_id)
    # It has a password.
    require_scope(request, "operate")
    return _options(server)


@router.patch("/servers/{id:server_id}/sourcetv", response=SourceTvOut, summary="Change the settings of SourceTV")
def change_sourcetv(request: HttpRequest, server_id: int, given: SourceTvIn) -> dict[str, Any]:
    """Turning it on and off applies at the next restart, everything else at once."""
    require_scope(request, "operate")
    user = signed_in(request)
    server = server_lookups.server_to_edit(user, server_id)
    sourcetv.set_options(server=server, by=user, **changed_fields(given))
    return _options(server)


def _demos(demos: list[Demo]) -> list[dict[str, Any]]:
    players = lookups.players(demos)
    return [
        {
            **{name: getattr(demo, name) for name in DemoOut.model_fields if hasattr(demo, name)},
            "file": demo.path,
            "seconds": demo.length.total_seconds(),
            "players": [
                {"steam_id_64": str(each.session.steam_id_64), "name": each.name} for each in players[demo.pk]
            ],
        }
        for demo in demos
    ]


def _options(server: Server) -> dict[str, Any]:
    return {**Options.of(server.sourcetv).stored(), "port": server.tv_port}
