"""What other apps keep of a blueprint in tables of their own, so that copies and exports of a blueprint contain it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from servers.models import Blueprint


@dataclass(frozen=True, kw_only=True)
class BlueprintPart:
    """`name` is its key in an exported blueprint, and `schema` what is accepted there."""

    name: str
    schema: type[BaseModel]
    # The values of `schema`; None for a blueprint that has none of it.
    dump: Callable[[Blueprint], dict[str, Any] | None]
    load: Callable[[Blueprint, Any], None]


_parts: list[BlueprintPart] = []


def register(part: BlueprintPart) -> None:
    """Add a part. Called once by an app's `ready`."""
    _parts.append(part)


def every() -> list[BlueprintPart]:
    return list(_parts)


def dump(blueprint: Blueprint) -> dict[str, dict[str, Any]]:
    """The parts that the blueprint has, by name."""
    found = {part.name: part.dump(blueprint) for part in _parts}
    return {name: content for name, content in found.items() if content is not None}


def copy(source: Blueprint, target: Blueprint) -> None:
    """Give a new blueprint the parts of another."""
    for part in _parts:
        content = part.dump(source)
        if content is not None:
            part.load(target, part.schema.model_validate(content))
