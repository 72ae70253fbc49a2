"""Every address of the application, found by walking the URL patterns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.urls import URLPattern, URLResolver, get_resolver

_SAMPLES = {"int": "1", "uuid": "00000000-0000-4000-8000-000000000000"}


@dataclass(frozen=True)
class Route:
    """One pattern: its name with namespaces, and an address that it matches."""

    name: str
    path: str

    def __str__(self) -> str:
        return self.name or self.path


def all_routes() -> list[Route]:
    return list(_walk(get_resolver().url_patterns, prefix="/", namespaces=()))


def _walk(
    patterns: Sequence[URLPattern | URLResolver], *, prefix: str, namespaces: tuple[str, ...]
) -> Iterator[Route]:
    for pattern in patterns:
        path = prefix + _sample(str(pattern.pattern))
        if isinstance(pattern, URLResolver):
            inner = (*namespaces, pattern.namespace) if pattern.namespace else namespaces
            yield from _walk(pattern.url_patterns, prefix=path, namespaces=inner)
        else:
            yield Route(":".join((*namespaces, pattern.name or "")), path)


def _sample(route: str) -> str:
    """An address for `route`: its parameters filled with something that their converters accept."""
    if route.startswith("^") or route.endswith("$") or "(?P" in route:
        # Django's admin has two regular expressions: a list of app labels, and everything else.
        return re.sub(r"\(\?P<\w+>([^)]*)\)", lambda m: m[1].split("|")[0].replace(".*", "x"), route).strip("^$")
    return re.sub(r"<(?:(\w+):)?\w+>", lambda match: _SAMPLES.get(match[1] or "str", "x"), route.removesuffix("\\Z"))
