"""Creating and changing blueprints."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, TypedDict, Unpack, cast

from django.core.exceptions import ValidationError
from django.db import transaction
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.models import User
from left4me.audit import record
from left4me.core import rows
from left4me.core.web.refusals import Cure, Refused
from overlays import permissions as overlay_permissions
from overlays.models import Overlay
from servers.actions import blueprint_parts, sourcetv
from servers.actions.refusals import InUse, Stale
from servers.blueprints import checks, translation, versions
from servers.game_access import application, lists
from servers.game_access.lists import Access
from servers.gamehost.spec import MOST_LAYERS
from servers.models import Blueprint, BlueprintOverlay, BlueprintVersion, game_texts
from servers.models.connect_ports import DEFAULT_CONNECT_PORTS

_FIELDS = {"name_taken": "name"}

MOST_BLUEPRINTS = 500
# Older versions of a blueprint are deleted.
MOST_VERSIONS = 100
# What a restored version brings back, beside the overlays. The name stays as it is.
_RESTORED = ("description", "arguments", "config", "motd", "banner", "connect_ports", "allow_ptrace")


class BlueprintChanges(TypedDict, total=False):
    name: str
    description: str
    arguments: str
    config: str
    motd: str
    banner: str
    connect_ports: str
    allow_ptrace: bool
    # The whole stack, the topmost first.
    overlays: Sequence[Overlay]
    # The list of admins and its rules, as `lists.content` returns them.
    access: Access


@transaction.atomic
def create_blueprint(
    *,
    owner: User,
    by: User,
    name: str,
    description: str = "",
    arguments: str = "",
    config: str = "",
    motd: str = "",
    banner: str = "",
    connect_ports: str = DEFAULT_CONNECT_PORTS,
    allow_ptrace: bool = False,
    overlays: Sequence[Overlay] = (),
    access: Access | None = None,
) -> Blueprint:
    """Create a blueprint with the stack `overlays`, the topmost first. Raises ValidationError, by field.

    Pasted launch lines are translated; `translation.translate` says what becomes of them. Raises Refused if the owner
    has too many.
    """
    rows.take_turns(owner.pk)
    if Blueprint.objects.filter(owner=owner).count() >= MOST_BLUEPRINTS:
        raise Refused(
            _("You already have %(most)d blueprints, the most that one user can have. Delete one first.")
            % {"most": MOST_BLUEPRINTS},
            cure=Cure(label=_("Show blueprints"), url=reverse("servers:blueprints")),
        )
    texts = translation.translate(arguments=arguments, config=config)
    blueprint = Blueprint(
        owner=owner,
        name=name,
        description=description,
        arguments=texts.arguments,
        config=texts.config,
        motd=game_texts.normal(motd),
        banner=game_texts.normal(banner),
        connect_ports=connect_ports,
        allow_ptrace=allow_ptrace,
    )
    _refuse(blueprint, overlays)
    rows.save_clean(blueprint, places=_FIELDS)
    _stack(blueprint, overlays)
    if access is not None:
        lists.replace(blueprint, access)
    _keep_version(blueprint, by)
    record.write(action="blueprint.create", by=by, target=target(blueprint), name=name, **_sandbox(blueprint))
    return blueprint


@transaction.atomic
def update_blueprint(
    *, blueprint: Blueprint, seen_version: int, by: User, **changes: Unpack[BlueprintChanges]
) -> Blueprint:
    """Change a blueprint that `by` read at `seen_version`.

    Its servers get the change at their next start. Raises Stale, or ValidationError by field.
    """
    current = _locked(blueprint, seen_version)
    overlays, access = changes.pop("overlays", None), changes.pop("access", None)
    before = _sandbox(current)
    _keep_first_version(current)
    if "arguments" in changes or "config" in changes:
        texts = translation.translate(
            arguments=changes.get("arguments", current.arguments), config=changes.get("config", current.config)
        )
        changes |= {"arguments": texts.arguments, "config": texts.config}
    for name, value in changes.items():
        is_text = name in ("motd", "banner")
        setattr(current, name, game_texts.normal(cast(str, value)) if is_text else value)
    _refuse(current, overlays or ())
    current.version += 1
    rows.save_clean(current, places=_FIELDS)
    if overlays is not None:
        _stack(current, overlays)
    if access is not None:
        lists.replace(current, access)
        application.request(current)
    _keep_version(current, by)
    sourcetv.reserve_for_all(current)
    details = _sandbox(current) if _sandbox(current) != before else {}
    record.write(
        action="blueprint.update", by=by, target=target(current), name=current.name, version=current.version, **details
    )
    return current


@transaction.atomic
def move_overlay(*, blueprint: Blueprint, seen_version: int, by: User, overlay: int, step: int) -> Blueprint:
    """Move one overlay of the stack up (-1) or down (1); beyond the end of the stack nothing changes. Raises Stale."""
    current = _locked(blueprint, seen_version)
    layers = current.layers
    position = next((at for at, layer in enumerate(layers) if layer.pk == overlay), None)
    if position is None or not 0 <= position + step < len(layers):
        return current
    _keep_first_version(current)
    layers.insert(position + step, layers.pop(position))
    _stack(current, layers)
    current.version += 1
    current.save(update_fields=["version", "updated_at"])
    _keep_version(current, by)
    record.write(action="blueprint.reorder", by=by, target=target(current), version=current.version)
    return current


@transaction.atomic
def restore_version(
    *, blueprint: Blueprint, number: int, by: User, keep_lists: bool = False
) -> tuple[Blueprint, list[str]]:
    """Save a blueprint as it was in an earlier version, as a new version; with `keep_lists`, but for its admins.

    Returns it, and the names of overlays and users that are left out because they were deleted. Raises rows.Gone if
    there is no such version, and otherwise as `update_blueprint` does.
    """
    kept = blueprint.versions.filter(number=number).first()
    if kept is None:
        raise rows.Gone
    wanted = {layer["id"]: layer["name"] for layer in kept.content["overlays"]}
    there = Overlay.objects.in_bulk(list(wanted))
    overlays = [
        there[key]
        for key in wanted
        if key in there and overlay_permissions.can_use_overlay(blueprint.owner, there[key])
    ]
    left_out = [name for key, name in wanted.items() if key not in {overlay.pk for overlay in overlays}]
    changes = cast(
        BlueprintChanges,
        {name: kept.content[name] for name in _RESTORED if name in kept.content} | {"overlays": overlays},
    )
    if "access" in kept.content and not keep_lists:
        changes["access"], missing = lists.without_missing(kept.content["access"])
        left_out += missing
    saved = update_blueprint(blueprint=blueprint, seen_version=blueprint.version, by=by, **changes)
    record.write(action="blueprint.restore", by=by, target=target(saved), version=number)
    return saved, left_out


@transaction.atomic
def clone_blueprint(*, blueprint: Blueprint, by: User) -> tuple[Blueprint, list[str]]:
    """Copy a blueprint for `by`. Returns the copy, and the names of omitted overlays, which `by` may not use."""
    usable = [layer for layer in blueprint.layers if overlay_permissions.can_use_overlay(by, layer)]
    left_out = [layer.name for layer in blueprint.layers if layer not in usable]
    copy = create_blueprint(
        owner=by,
        by=by,
        name=free_name(by, blueprint.name),
        description=blueprint.description,
        arguments=blueprint.arguments,
        config=blueprint.config,
        motd=blueprint.motd,
        banner=blueprint.banner,
        connect_ports=blueprint.connect_ports,
        allow_ptrace=blueprint.allow_ptrace,
        overlays=usable,
        access=lists.content(blueprint),
    )
    blueprint_parts.copy(blueprint, copy)
    return copy, left_out


@transaction.atomic
def delete_blueprint(*, blueprint: Blueprint, by: User) -> None:
    """Delete a blueprint. Raises InUse with the servers that are made from it, and rows.Gone."""
    # Creating a server locks the same row.
    current = rows.still_there(Blueprint.objects.select_for_update(of=("self",)), blueprint)
    linked = list(current.servers.values_list("pk", "name"))
    if linked:
        raise InUse(linked)
    record.write(action="blueprint.delete", by=by, target=target(current), name=current.name)
    current.delete()


@contextlib.contextmanager
def edit_lists(blueprint: Blueprint, *, by: User) -> Iterator[None]:
    """Keep a version of the blueprint after a change of its lists of people. Raises rows.Gone."""
    current = rows.still_there(Blueprint.objects.select_for_update(of=("self",)), blueprint)
    _keep_first_version(current)
    yield
    current.version += 1
    current.save(update_fields=["version", "updated_at"])
    _keep_version(current, by)


def _keep_first_version(blueprint: Blueprint) -> None:
    """Keep the present state of a blueprint that was made before versions were kept, or before they had its lists."""
    newest = blueprint.versions.first()
    if newest is None:
        _keep_version(blueprint, None)
    elif "access" not in newest.content:
        newest.content["access"] = lists.content(blueprint)
        newest.save(update_fields=["content"])


def _keep_version(blueprint: Blueprint, by: User | None) -> None:
    """Keep the blueprint as it is now, unless nothing has changed since the last version."""
    layers = Overlay.objects.filter(in_blueprints__blueprint=blueprint).order_by("in_blueprints__position")
    content = versions.content(blueprint, list(layers))
    newest = blueprint.versions.first()
    if newest is not None and newest.content == content:
        return
    BlueprintVersion.objects.create(blueprint=blueprint, number=blueprint.version, user=by, content=content)
    blueprint.versions.filter(number__lte=blueprint.version - MOST_VERSIONS).delete()


def _sandbox(blueprint: Blueprint) -> dict[str, Any]:
    """What its games may do beyond the usual, for the audit log."""
    return {"connect_ports": blueprint.connect_ports, "allow_ptrace": blueprint.allow_ptrace}


def target(blueprint: Blueprint) -> str:
    """Its name in the audit log."""
    return f"blueprint:{blueprint.pk}"


def free_name(owner: User, wanted: str) -> str:
    """`wanted`, with a number appended if the owner has a blueprint of this name."""
    return rows.free_name(Blueprint.objects.filter(owner=owner), wanted)


def _locked(blueprint: Blueprint, seen_version: int) -> Blueprint:
    current = rows.still_there(Blueprint.objects.select_for_update(of=("self",)), blueprint)
    if current.version != seen_version:
        raise Stale(current)
    return current


def _refuse(blueprint: Blueprint, overlays: Sequence[Overlay]) -> None:
    """Raise ValidationError for lines that are refused and for overlays that the owner may not use."""
    faults: dict[str, list[str]] = {}
    for finding in checks.check(arguments=blueprint.arguments, config=blueprint.config):
        if finding.severity == checks.Severity.REFUSED:
            faults.setdefault(finding.field, []).append(str(finding))
    not_usable = [layer for layer in overlays if not overlay_permissions.can_use_overlay(blueprint.owner, layer)]
    if not_usable:
        faults["overlays"] = [_("%s cannot use this overlay: %s.") % (blueprint.owner, layer) for layer in not_usable]
    if len({layer.pk for layer in overlays}) != len(overlays):
        faults["overlays"] = [_("An overlay can be in a blueprint only once.")]
    if len(overlays) >= MOST_LAYERS:
        faults["overlays"] = [_("A blueprint can contain at most %d overlays.") % (MOST_LAYERS - 1)]
    if faults:
        raise ValidationError(faults)


def _stack(blueprint: Blueprint, overlays: Sequence[Overlay]) -> None:
    """Replace the stack by `overlays`. All links are rewritten, since two may never share a position."""
    # Locked until the commit: PostgreSQL checks foreign keys only then, too late for a message to the user.
    existing = (
        Overlay.objects.select_for_update(no_key=True).order_by("pk").in_bulk([overlay.pk for overlay in overlays])
    )
    if len(existing) != len(overlays):
        raise ValidationError({"overlays": _("One of these overlays was deleted. Reload the page.")})
    blueprint.links.all().delete()
    BlueprintOverlay.objects.bulk_create(
        BlueprintOverlay(blueprint=blueprint, overlay=overlay, position=position)
        for position, overlay in enumerate(overlays)
    )
