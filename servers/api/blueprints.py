"""The API of blueprints: list, create, change, copy, export and import."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from ninja import Query, Router, Status
from pydantic import Field

from accounts.models import User
from accounts.permissions import signed_in
from left4me.core.web.api import Window, changed_fields, require_scope
from overlays import conflicts
from overlays.models import Overlay
from servers import actions, lookups
from servers.actions import blueprint_yaml
from servers.api import wire
from servers.blueprints.translation import translate
from servers.models import Blueprint, StarterBlueprint

router = Router(tags=["blueprints"])


class BlueprintFilter(Window):
    q: str = Field("", max_length=100, description="Part of the name")


@router.get("/blueprints", response=wire.BlueprintPage, summary="List blueprints: yours, or all for admins")
def list_blueprints(request: HttpRequest, window: Query[BlueprintFilter]) -> dict[str, Any]:
    rows = Blueprint.objects.visible_to(signed_in(request))
    if window.q:
        rows = rows.filter(name__icontains=window.q)
    page = rows.with_layers().select_related("owner").prefetch_related("servers")
    items = wire.blueprints(list(page[window.offset : window.offset + window.limit]))
    return {"items": items, "count": rows.count()}


@router.post("/blueprints", response={201: wire.BlueprintOut}, summary="Make one")
def create_blueprint(request: HttpRequest, given: wire.BlueprintIn) -> Status[dict[str, Any]]:
    require_scope(request, "operate")
    user = signed_in(request)
    row = actions.create_blueprint(
        owner=user,
        by=user,
        name=given.name,
        description=given.description,
        arguments=wire.text(given.arguments),
        config=wire.text(given.config),
        motd=given.motd,
        banner=given.banner,
        connect_ports=given.connect_ports,
        allow_ptrace=given.allow_ptrace,
        overlays=_overlays(user, given.overlays),
    )
    notes = translate(arguments=wire.text(given.arguments), config=wire.text(given.config)).notes
    return Status(201, wire.blueprint(lookups.blueprint_or_404(user, row.pk), translated=notes))


@router.get("/blueprints/templates", response=list[wire.TemplateOut], summary="Templates for blueprints and servers")
def list_templates(request: HttpRequest) -> list[StarterBlueprint]:
    signed_in(request)
    return list(StarterBlueprint.objects.filter(is_offered=True))


@router.get("/blueprints/{id:blueprint_id}", response=wire.BlueprintOut, summary="Get a blueprint")
def get_blueprint(request: HttpRequest, blueprint_id: int) -> dict[str, Any]:
    return wire.blueprint(lookups.blueprint_or_404(signed_in(request), blueprint_id))


@router.get(
    "/blueprints/{id:blueprint_id}/conflicts",
    response=wire.ConflictsOut,
    summary="List conflicts: files in more than one layer",
)
def list_conflicts(request: HttpRequest, blueprint_id: int) -> dict[str, Any]:
    """Overlays, VPKs inside them, workshop items and the game, as the last builds found them."""
    found = conflicts.between(lookups.blueprint_or_404(signed_in(request), blueprint_id).layers)
    return {
        "groups": [group._asdict() for group in found.groups],
        "letter_case": [[{"layer": layer, "path": path} for layer, path in names] for names in found.letter_case],
        "is_cut": found.is_cut,
    }


@router.patch("/blueprints/{id:blueprint_id}", response=wire.BlueprintOut, summary="Change it")
def change_blueprint(request: HttpRequest, blueprint_id: int, given: wire.BlueprintChange) -> dict[str, Any]:
    """Its servers get the change at their next start."""
    require_scope(request, "operate")
    user = signed_in(request)
    row = lookups.blueprint_to_edit(user, blueprint_id)
    changes = changed_fields(given, besides={"version"})
    for name in {"arguments", "config"} & changes.keys():
        changes[name] = wire.text(changes[name])
    if "overlays" in changes:
        changes["overlays"] = _overlays(row.owner, changes["overlays"])
    notes = translate(arguments=changes.get("arguments", ""), config=changes.get("config", "")).notes
    actions.update_blueprint(blueprint=row, seen_version=given.version, by=user, **changes)
    return wire.blueprint(lookups.blueprint_or_404(user, blueprint_id), translated=notes)


@router.delete("/blueprints/{id:blueprint_id}", response={204: None}, summary="Delete a blueprint that no server uses")
def delete_blueprint(request: HttpRequest, blueprint_id: int) -> Status[None]:
    require_scope(request, "operate")
    user = signed_in(request)
    actions.delete_blueprint(blueprint=lookups.blueprint_to_edit(user, blueprint_id), by=user)
    return Status(204, None)


@router.post("/blueprints/{id:blueprint_id}/clone", response={201: wire.BlueprintOut}, summary="Copy a blueprint")
def clone_blueprint(request: HttpRequest, blueprint_id: int) -> Status[dict[str, Any]]:
    """Private overlays of others are left out."""
    require_scope(request, "operate")
    user = signed_in(request)
    copy, _left_out = actions.clone_blueprint(blueprint=lookups.blueprint_or_404(user, blueprint_id), by=user)
    return Status(201, wire.blueprint(lookups.blueprint_or_404(user, copy.pk)))


@router.get("/blueprints/{id:blueprint_id}/export", summary="Export a blueprint as YAML", include_in_schema=True)
def export_blueprint(request: HttpRequest, blueprint_id: int) -> HttpResponse:
    row = lookups.blueprint_or_404(signed_in(request), blueprint_id)
    return HttpResponse(blueprint_yaml.dump(row), content_type="application/yaml; charset=utf-8")


@router.post("/blueprints/import", response={201: wire.ImportOut}, summary="Import a blueprint from YAML")
def import_blueprint(request: HttpRequest, given: wire.ImportIn) -> Status[dict[str, Any]]:
    require_scope(request, "operate")
    user = signed_in(request)
    try:
        made = blueprint_yaml.load(given.yaml, owner=user, by=user)
    except ValidationError as fault:
        raise ValidationError({"yaml": fault.messages}) from None
    row = lookups.blueprint_or_404(user, made.blueprint.pk)
    names = {name: getattr(made, name) for name in ("made", "missing", "people", "unknown_users")}
    return Status(201, {"blueprint": wire.blueprint(row), **names})


def _overlays(owner: User, ids: list[int]) -> list[Overlay]:
    """The overlays in this order. Raises ValidationError for one that the owner may not use."""
    usable = Overlay.objects.usable_by(owner).in_bulk(ids)
    not_usable = [str(pk) for pk in ids if pk not in usable]
    if not_usable:
        raise ValidationError({"overlays": _("These overlays do not exist: %s.") % ", ".join(not_usable)})
    return [usable[pk] for pk in ids]
