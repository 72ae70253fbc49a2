"""Every address of the application, found by walking the URL patterns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.urls import URLPattern, URLResolver, get_resolver

_PARAMETER = re.compile(r"<(?:(\w+):)?\w+>")
_SAMPLES = {"int": "1", "id": "1", "uuid": "00000000-0000-4000-8000-000000000000"}


@dataclass(frozen=True)
class Route:
    """One pattern: its name with namespaces, and what it matches, such as `/servers/<id:pk>/edit`."""

    name: str
    pattern: str

    def __str__(self) -> str:
        return self.name or self.pattern

    @property
    def kind(self) -> str:
        """What the first parameter names: the word before it, `servers` in `/api/v1/servers/<id:pk>`; or ""."""
        before, parameter, _ = self.pattern.partition("/<")
        return before.rpartition("/")[2] if parameter else ""

    def path(self, first: object = None) -> str:
        """An address that the pattern matches; `first` fills its first parameter, samples the rest."""
        given = self.pattern if first is None else _PARAMETER.sub(str(first), self.pattern, count=1)
        return _PARAMETER.sub(lambda match: _SAMPLES.get(match[1] or "str", "x"), given)


def all_routes() -> list[Route]:
    return list(_walk(get_resolver().url_patterns, prefix="/", namespaces=()))


def _walk(
    patterns: Sequence[URLPattern | URLResolver], *, prefix: str, namespaces: tuple[str, ...]
) -> Iterator[Route]:
    for pattern in patterns:
        route = prefix + _plain(str(pattern.pattern))
        if isinstance(pattern, URLResolver):
            inner = (*namespaces, pattern.namespace) if pattern.namespace else namespaces
            yield from _walk(pattern.url_patterns, prefix=route, namespaces=inner)
        else:
            yield Route(":".join((*namespaces, pattern.name or "")), route)


def _plain(route: str) -> str:
    # Django's admin has two regular expressions: a list of app labels, and everything else.
    if "(?P" not in route:
        return route
    return re.sub(r"\(\?P<\w+>([^)]*)\)", lambda match: match[1].split("|")[0].replace(".*", "x"), route).strip("^$")
