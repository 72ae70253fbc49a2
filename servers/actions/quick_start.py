"""Creating a server together with what it needs: a blueprint from a template, an overlay with workshop items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from left4me.core import rows
from overlays import actions as overlays
from overlays.models import Overlay
from overlays.workshop_items import membership
from servers.actions import blueprints, servers
from servers.actions.blueprints import BlueprintChanges
from servers.blueprints import checks, maps
from servers.game_access import lists
from servers.models import Blueprint, Host, Server, StarterBlueprint
from workshop import metadata, steam


@dataclass(frozen=True)
class QuickStart:
    """The new server, and why Steam's items that were left out cannot be used, by their ids."""

    server: Server
    refused: Mapping[int, str] = field(default_factory=dict)


def quick_start(
    *,
    user: User,
    name: str,
    base: Blueprint | StarterBlueprint,
    host: Host,
    items: str = "",
    config: str = "",
    start_map: str = "",
    port: int | None = None,
    restart_when_hung: bool = False,
    tag_list: Sequence[str] = (),
    start: bool = True,
) -> QuickStart:
    """Create a server from a template or a blueprint of the user, with all that it needs, and request its start.

    `items` are workshop ids and links of items and collections; they get an overlay. `config` are further lines for
    server.cfg, `start_map` is the first map. A blueprint that is changed by any of them is copied. The start waits for
    the build of the overlay, because both lock it. Everything is created or nothing. Raises ValidationError, by field,
    and Refused.
    """
    _refuse_lines(config)
    preview = _look_up(items) if items.strip() else None

    def add(chosen_port: int) -> Server:
        overlay = _overlay(user, name, preview) if preview else None
        blueprint = _blueprint(user, name, base, overlay=overlay, config=config, start_map=start_map)
        server = servers.add_server(
            owner=user,
            by=user,
            name=name,
            blueprint=blueprint,
            host=host,
            port=chosen_port,
            restart_when_hung=restart_when_hung,
            tag_list=tag_list,
        )
        if start:
            servers.request(server=server, operation="start", by=user)
        return server

    server = servers.with_port(host, port, add, by=user)
    return QuickStart(server, preview.refused if preview else {})


def _refuse_lines(config: str) -> None:
    """Checks the further lines alone, so that the numbers in the messages are those of the user's own text."""
    findings = checks.check(arguments="", config=config)
    refused = [str(finding) for finding in findings if finding.severity == checks.Severity.REFUSED]
    if refused:
        raise ValidationError({"config": refused})


def _look_up(items: str) -> membership.Preview:
    try:
        with metadata.connect() as api:
            preview = membership.look_up(overlay=None, text=items, api=api)
    except (membership.InvalidInput, membership.NotAddable) as fault:
        raise ValidationError({"items": str(fault).splitlines()}) from fault
    except steam.SteamError as fault:
        hint = _("Try again, or create the server without these items and add them later.")
        raise ValidationError({"items": f"{fault}. {hint}"}) from fault
    if not preview.addable:
        reasons = [f"{steam_id}: {reason}" for steam_id, reason in preview.refused.items()]
        raise ValidationError({"items": [_("None of these items can be added."), *reasons[:50]]})
    return preview


def _overlay(user: User, name: str, preview: membership.Preview) -> Overlay:
    """An overlay with the items, whose build is requested."""
    free_name = rows.free_name(Overlay.objects.filter(owner=user), name)
    overlay = overlays.create(name=free_name, kind=Overlay.Kind.WORKSHOP, owner=user, by=user)
    membership.add(overlay=overlay, preview=preview, by=user, follow=True, now=timezone.now())
    return overlay


def _blueprint(
    user: User,
    name: str,
    base: Blueprint | StarterBlueprint,
    *,
    overlay: Overlay | None,
    config: str,
    start_map: str,
) -> Blueprint:
    if isinstance(base, Blueprint) and overlay is None and not config.strip() and not start_map:
        return base
    layers = base.layers if isinstance(base, Blueprint) else []
    changes: BlueprintChanges = {
        "name": blueprints.free_name(user, name),
        "description": base.description,
        "arguments": maps.with_start_map(base.arguments, start_map) if start_map else base.arguments,
        "config": "\n".join(text for text in (base.config, config) if text.strip()),
        "overlays": [overlay, *layers] if overlay else layers,
    }
    if isinstance(base, Blueprint):
        changes |= {"connect_ports": base.connect_ports, "allow_ptrace": base.allow_ptrace}
        changes["access"] = lists.content(base)
    return blueprints.create_blueprint(owner=user, by=user, **changes)
