"""Blueprints as YAML, to move them between installations. Overlays are named, workshop items have their Steam ids."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any, Literal

import yaml
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, create_model
from pydantic import ValidationError as SchemaFault

from accounts.models import User
from accounts.permissions import user_named
from left4me.core import steam_ids
from left4me.core.redis.rate_limit import RateLimited
from left4me.core.web.ids import LARGEST_ID
from overlays import actions as overlay_actions
from overlays.models import Overlay, OverlayWorkshopItem
from servers.actions import blueprint_parts
from servers.actions.blueprints import create_blueprint, free_name
from servers.blueprints.checks import config_lines
from servers.game_access import lists
from servers.models import Blueprint
from servers.models.connect_ports import DEFAULT_CONNECT_PORTS
from workshop.models import WorkshopItem

FORMAT = 1
LONGEST = 256 * 1024
# An exported blueprint nests five levels. A parser needs time and stack for each one.
_DEEPEST = 20
_MOST_TOKENS = 60_000
# The time to read a number in base 60, such as `1:30`, grows with the square of its length.
_LONGEST_NUMBER = 100
_DIGITS = "+-.:_0123456789"
# Written in C where PyYAML was built so, and several times faster.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_OPENING = (
    yaml.BlockMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.FlowSequenceStartToken,
)
_CLOSING = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)


class _Layer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1, max_length=64)
    kind: str = "files"
    expose_cfg: bool = False
    workshop_items: list[int] = Field(default_factory=list, max_length=5000)


class _Person(BaseModel):
    """An account is named by `user`; the `steam_id` beside it shows that the user of this name is the same person."""

    model_config = ConfigDict(extra="forbid")
    user: str = Field("", max_length=64)
    name: str = Field("", max_length=64)
    steam_id: int | None = None
    role: Literal["admin", "moderator", "reserved", "player", "custom"] = "admin"
    flags: str = Field("", pattern="^[a-tz]*$", max_length=26)
    immunity: int = Field(0, ge=0, le=99)
    until: AwareDatetime | None = None


class _Access(BaseModel):
    model_config = ConfigDict(extra="forbid")
    team_are_admins: bool = False
    whitelist: bool = False
    reserved_slots: int = Field(0, ge=0, le=24)
    people: list[_Person] = Field(default_factory=list, max_length=500)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")
    left4me_blueprint: int
    name: str = Field(min_length=1, max_length=64)
    description: str = Field("", max_length=2000)
    arguments: list[str] = Field(default_factory=list, max_length=1000)
    config: list[str] = Field(default_factory=list, max_length=4000)
    motd: str = Field("", max_length=2047)
    banner: str = Field("", max_length=2047)
    connect_ports: str = Field(DEFAULT_CONNECT_PORTS, max_length=500)
    allow_ptrace: bool = False
    overlays: list[_Layer] = Field(default_factory=list, max_length=200)
    game_access: _Access = Field(default_factory=lambda: _Access.model_validate({}))


@dataclass(frozen=True)
class LoadedBlueprint:
    """The result of `load`: the blueprint, the names of created overlays and of missing ones, and of people."""

    blueprint: Blueprint
    made: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    people: list[str] = field(default_factory=list)
    unknown_users: list[str] = field(default_factory=list)


def dump(blueprint: Blueprint) -> str:
    """The blueprint as YAML, without the files of its overlays."""
    layers = blueprint.layers
    links = OverlayWorkshopItem.objects.filter(overlay__in=layers).order_by("item__steam_id")
    items: dict[int, list[int]] = {}
    for overlay_id, steam_id in links.values_list("overlay_id", "item__steam_id"):
        items.setdefault(overlay_id, []).append(steam_id)
    content: dict[str, Any] = {
        "left4me_blueprint": FORMAT,
        "name": blueprint.name,
        "description": blueprint.description,
        "arguments": config_lines(blueprint.arguments) if blueprint.arguments else [],
        "config": config_lines(blueprint.config) if blueprint.config else [],
        "motd": blueprint.motd,
        "banner": blueprint.banner,
        "connect_ports": blueprint.connect_ports,
        "allow_ptrace": blueprint.allow_ptrace,
        "overlays": [_layer(layer, items.get(layer.pk, [])) for layer in layers],
        "game_access": _access(blueprint),
        **blueprint_parts.dump(blueprint),
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)


def _layer(overlay: Overlay, items: list[int]) -> dict[str, Any]:
    content: dict[str, Any] = {"name": overlay.name, "kind": overlay.kind, "expose_cfg": overlay.expose_cfg}
    return {**content, "workshop_items": items} if items else content


def _access(blueprint: Blueprint) -> dict[str, Any]:
    access = lists.content(blueprint)
    accounts = User.objects.in_bulk([person["user"] for person in access["people"] if person["user"]])
    people = []
    for person in access["people"]:
        account = accounts.get(person["user"])
        known = {
            **person,
            "user": account.get_username() if account else "",
            "name": "" if account else person["name"],
            "steam_id": account.steam_id if account else int(person["steam_id"]),
        }
        people.append({name: value for name, value in known.items() if value})
    return {**access, "people": people}


@transaction.atomic
def load(text: str, *, owner: User, by: User) -> LoadedBlueprint:
    """Create a blueprint from exported YAML. Raises ValidationError.

    Overlays are looked up by name among the owner's and the catalog's. A missing workshop overlay is created. A name
    that the owner has already gets a number. A person whose account is not here is listed by Steam ID. After many
    names that nobody has, all others without a Steam ID count as unknown too.
    """
    content = read(text)
    overlays = _overlays_by_name(owner)
    layers: list[Overlay] = []
    made, missing = [], []
    for layer in content.overlays:
        overlay = overlays.get(layer.name.lower())
        if overlay is None and layer.kind == Overlay.Kind.WORKSHOP and layer.workshop_items:
            overlay = _make(layer, owner=owner, by=by)
            made.append(layer.name)
        if overlay is None:
            missing.append(layer.name)
        elif overlay not in layers:
            layers.append(overlay)
    people, unknown = _people(content.game_access, by=by)
    blueprint = create_blueprint(
        owner=owner,
        by=by,
        name=free_name(owner, content.name),
        description=content.description,
        arguments="\n".join(content.arguments),
        config="\n".join(content.config),
        motd=content.motd,
        banner=content.banner,
        connect_ports=content.connect_ports,
        allow_ptrace=content.allow_ptrace,
        overlays=layers,
        access={**content.game_access.model_dump(), "people": people},
    )
    for part in blueprint_parts.every():
        if (value := getattr(content, part.name)) is not None:
            part.load(blueprint, value)
    return LoadedBlueprint(
        blueprint, made, missing, [person["name"] or person["steam_id"] for person in people], unknown
    )


def _people(access: _Access, *, by: User) -> tuple[list[dict[str, Any]], list[str]]:
    """The people as `lists.content` has them, each once, and the names of users who are not here."""
    found: dict[object, dict[str, Any]] = {}
    unknown = []
    for person in access.people:
        if person.steam_id is not None and not steam_ids.is_account(person.steam_id):
            raise ValidationError(_("%d is not a Steam ID of a person.") % person.steam_id)
        account = _account(person, by=by)
        if account is None and person.steam_id is None:
            unknown.append(person.user or person.name)
            continue
        found[account.pk if account else str(person.steam_id)] = {
            "user": account.pk if account else None,
            "name": person.user or person.name,
            "steam_id": None if account else str(person.steam_id),
            "role": person.role,
            "flags": person.flags if person.role == "custom" else "",
            "immunity": person.immunity,
            "until": person.until.isoformat() if person.until else None,
        }
    return list(found.values()), unknown


def _account(person: _Person, *, by: User) -> User | None:
    """The user here whom a person of the file means."""
    if not person.user or "\0" in person.user:
        return None
    if person.steam_id is None:
        try:
            return user_named(person.user, by=by)
        except RateLimited:
            # A file with many unknown names can be imported, but does not tell who of the others is here.
            return None
    # Somebody else may have that name here.
    account: User | None = User.objects.active().named(person.user).filter(steam_id=person.steam_id).first()
    return account


def read(text: str) -> _File:
    """Parse exported YAML without looking at what is here. Raises ValidationError."""
    if len(text.encode()) > LONGEST:
        raise _too_large()
    try:
        _scan(text)
        content = _schema().model_validate(yaml.load(text, Loader=_LOADER))  # noqa: S506 -- a safe loader
    except SchemaFault as fault:
        first = fault.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValidationError(
            _("This is not an exported blueprint: %(place)s: %(why)s")
            % {"place": place or "file", "why": first["msg"]}
        ) from None
    except (yaml.YAMLError, RecursionError, ValueError) as fault:
        # A ValueError is raised for what only looks like a value, such as the 45th of a month.
        raise ValidationError(_("This is not valid YAML: %s") % str(fault).replace("\n", " ")[:300]) from None
    if content.left4me_blueprint != FORMAT:
        raise ValidationError(
            _("This file has format %d, which this version of left4me does not support. Update left4me first.")
            % content.left4me_blueprint
        )
    return content


@functools.cache
def _schema() -> type[_File]:
    """What a file may hold, with the parts of other apps. They are known once all apps are ready."""
    parts: dict[str, Any] = {part.name: (part.schema | None, None) for part in blueprint_parts.every()}
    return create_model("ExportedBlueprint", __base__=_File, **parts)


def _scan(text: str) -> None:
    """Raise ValidationError for what makes a small file expensive to read; no exported blueprint has any of it."""
    depth = 0
    for number, token in enumerate(yaml.scan(text, Loader=_LOADER)):
        depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
        if depth > _DEEPEST or number > _MOST_TOKENS or _is_long_number(token):
            raise _too_large()
        if isinstance(token, yaml.AliasToken):
            raise ValidationError(_("YAML aliases are not supported. Write the values out."))


def _is_long_number(token: yaml.Token) -> bool:
    return (
        isinstance(token, yaml.ScalarToken)
        and token.plain
        and len(token.value) > _LONGEST_NUMBER
        and not token.value.strip(_DIGITS)
    )


def _too_large() -> ValidationError:
    return ValidationError(_("This file is too large for a blueprint. Choose an exported blueprint."))


def _overlays_by_name(owner: User) -> dict[str, Overlay]:
    """The overlays that the owner may use, by name in lower case. Own ones take precedence over the catalog's."""
    usable = Overlay.objects.usable_by(owner)
    return {overlay.name.lower(): overlay for overlay in sorted(usable, key=lambda each: each.owner_id is not None)}


def _make(layer: _Layer, *, owner: User, by: User) -> Overlay:
    overlay = overlay_actions.create(
        name=layer.name, kind=Overlay.Kind.WORKSHOP, owner=owner, by=by, expose_cfg=layer.expose_cfg
    )
    for steam_id in dict.fromkeys(layer.workshop_items):
        if not 0 < steam_id <= LARGEST_ID:
            raise ValidationError(_("%d is not a workshop item.") % steam_id)
        # Its title and files are fetched from Steam by the overlay's first build or refresh.
        item, _created = WorkshopItem.objects.get_or_create(steam_id=steam_id)
        OverlayWorkshopItem.objects.create(overlay=overlay, item=item)
    return overlay
