"""The rotation of a blueprint in its copies and exports."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from livestate.reconcile import LONGEST_MAP
from livestate.rotation.entries import LONGEST_TITLE, MOST_ENTRIES, Kind
from livestate.rotation.models import LONGEST_WAIT, MOST_ROUNDS, SHORTEST_WAIT, Rotation
from servers.actions.blueprint_parts import BlueprintPart
from servers.models import Blueprint

# Without control characters: PostgreSQL does not store NUL.
_TEXT = r"^[^\x00-\x1f\x7f]*$"


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Kind
    map: str = Field(min_length=1, max_length=LONGEST_MAP, pattern=_TEXT)
    title: str = Field("", max_length=LONGEST_TITLE, pattern=_TEXT)


class ExportedRotation(BaseModel):
    """A campaign or map that is not here stays listed, and is shown as one that the server does not have."""

    model_config = ConfigDict(extra="forbid")
    is_on: bool = True
    entries: list[_Entry] = Field(default_factory=list, max_length=MOST_ENTRIES)
    sequence: Rotation.Sequence = Rotation.Sequence.LISTED
    repeats: bool = True
    wait_seconds: int = Field(20, ge=SHORTEST_WAIT, le=LONGEST_WAIT)
    survival_rounds: int = Field(2, ge=1, le=MOST_ROUNDS)


def _dump(blueprint: Blueprint) -> dict[str, Any] | None:
    row = Rotation.objects.filter(blueprint=blueprint).first()
    if row is None:
        return None
    return {name: getattr(row, name) for name in ExportedRotation.model_fields}


def _load(blueprint: Blueprint, content: ExportedRotation) -> None:
    Rotation.objects.create(blueprint=blueprint, **content.model_dump(mode="json"))


PART = BlueprintPart(name="rotation", schema=ExportedRotation, dump=_dump, load=_load)
