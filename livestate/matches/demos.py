"""Recordings of a match, as far as an app above this one knows any."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from servers.models import Server


@dataclass(frozen=True, kw_only=True)
class Demo:
    title: str
    url: str


Find = Callable[[Server, datetime, datetime], list[Demo]]

_finders: list[Find] = []


def register(find: Find) -> None:
    """Have `find` called with a server and a span of time; it returns what was recorded then."""
    _finders.append(find)


def of(server: Server, start: datetime, end: datetime) -> list[Demo]:
    return [demo for find in _finders for demo in find(server, start, end)]
