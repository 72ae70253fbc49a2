"""JSON API of the SourceMod plugins in an overlay."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema
from pydantic import Field

from accounts.permissions import signed_in
from overlays import lookups, paths
from overlays.plugins import finder

router = Router(tags=["overlays"])


class PluginFacts(Schema):
    path: str = Field(description="Below addons/sourcemod/plugins")
    is_enabled: bool = Field(
        description="Whether SourceMod loads it at its start: it is not below disabled or optional"
    )
    title: str
    version: str
    author: str
    description: str
    url: str
    size: int
    needs: list[str] = Field(description="Files of other plugins, and of extensions, without which it does not load")
    problem: str = Field(description="Why its file cannot be read; empty otherwise")


@router.get("/overlays/{id:overlay_id}/plugins", response=list[PluginFacts], summary="List its SourceMod plugins")
def list_plugins(request: HttpRequest, overlay_id: int) -> list[dict[str, Any]]:
    """What each plugin says of itself, read from its file."""
    overlay = lookups.overlay_with_files(signed_in(request), overlay_id)
    return [plugin.facts() for plugin in finder.find([paths.directory(overlay)])]
