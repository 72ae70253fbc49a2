"""JSON API for figures: what the charts of servers and hosts draw."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.utils import timezone
from ninja import Query, Router, Schema
from pydantic import Field

from accounts.permissions import signed_in
from livestate.figures import marks, series
from livestate.figures.marks import Kind, Mark
from livestate.figures.series import Line, Range, Series
from servers import lookups
from servers.models import Host

router = Router(tags=["live state"])

RangeCode = Literal["1h", "6h", "24h", "7d", "30d"]
Unit = Literal["players", "percent", "bytes", "seconds", "bytes_per_second"]


class FiguresQuery(Schema):
    range: RangeCode = "24h"


class FigureOut(Schema):
    name: str
    unit: Unit
    mean: list[float | None] = Field(description="The mean of each step; null where nothing was measured")
    high: list[float | None] = Field(description="The highest value of each step")


class MarkOut(Schema):
    at: datetime
    kind: Kind
    title: str = Field(description="What happened; of `map`, the name of the map")
    detail: str


class HostFiguresOut(Schema):
    range: RangeCode
    start: datetime = Field(description="Of the first step: where the data begins, or where the range begins")
    step_seconds: int
    figures: list[FigureOut]


class ServerFiguresOut(HostFiguresOut):
    marks: list[MarkOut] = Field(description="Crashes, starts and stops; in ranges of up to 6 hours also map changes")


@router.get("/servers/{id:server_id}/figures", response=ServerFiguresOut, summary="Players, CPU, memory, ping, disk")
def read_server_figures(request: HttpRequest, server_id: int, query: Query[FiguresQuery]) -> dict[str, Any]:
    """CPU is in percent of one core; ping is the time that the game took to answer a poll."""
    server = lookups.server_or_404(signed_in(request), server_id)
    read = series.of_server(server, range_=Range.of(query.range), now=timezone.now())
    return {**_series(read), "marks": [_mark(mark) for mark in marks.of_server(server, read)]}


@router.get("/hosts/{id:host_id}/figures", response=HostFiguresOut, summary="CPU, memory, disk and network of a host")
def read_host_figures(request: HttpRequest, host_id: int, query: Query[FiguresQuery]) -> dict[str, Any]:
    """CPU is in percent of the whole machine; memory is what is not available to programs."""
    signed_in(request)
    host = get_object_or_404(Host, pk=host_id)
    return _series(series.of_host(host, range_=Range.of(query.range), now=timezone.now()))


def _series(read: Series) -> dict[str, Any]:
    return {
        "range": read.range.code,
        "start": read.start,
        "step_seconds": read.step,
        "figures": [_line(line) for line in read.lines],
    }


def _line(line: Line) -> dict[str, Any]:
    return {"name": line.figure.name, "unit": line.figure.unit, "mean": line.mean, "high": line.high}


def _mark(mark: Mark) -> dict[str, Any]:
    return {"at": mark.at, "kind": mark.kind, "title": str(mark.title), "detail": mark.detail}
