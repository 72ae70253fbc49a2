"""Creating, changing and deleting overlays, with an audit entry; used by pages, API and admin."""

from __future__ import annotations

from typing import TypedDict, Unpack
from uuid import uuid4

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import User
from left4me.audit import record
from left4me.core import rows
from left4me.core.natural_order import NaturalOrder
from left4me.core.redis import signals
from left4me.core.web import refusals
from left4me.core.web.refusals import Cure, Invalid
from left4me.jobs import actions as jobs
from overlays import paths
from overlays.models import Overlay, OverlayAddon
from workshop import missions

Refused = refusals.Refused
Stale = refusals.Stale
# Of one user. Each is a directory on every host that uses it.
MOST_OVERLAYS = 500

_FIELDS = {"name_taken": "name", "script_is_system": "kind", "path_outside": "path"}


class InUse(refusals.InUse):
    """Blueprints use the overlay: `blueprints` holds (name, owner) of each."""

    def __init__(self, blueprints: list[tuple[str, str]]) -> None:
        self.blueprints = blueprints
        named = ", ".join(f"{name} ({owner})" for name, owner in blueprints)
        super().__init__(
            ngettext(
                "One blueprint uses this overlay: %(names)s.",
                "%(count)d blueprints use this overlay: %(names)s.",
                len(blueprints),
            )
            % {"count": len(blueprints), "names": named},
            blueprints=[{"name": name, "owner": owner} for name, owner in blueprints],
        )


class OverlayChanges(TypedDict, total=False):
    name: str
    expose_cfg: bool
    path: str


@transaction.atomic
def create(*, name: str, kind: str, owner: User | None, by: User, expose_cfg: bool = False, path: str = "") -> Overlay:
    """Create an overlay; `owner=None` makes it part of the catalog.

    Without `path` it gets a new directory named by its id; only admins choose one. Raises ValidationError.
    """
    if owner is not None and not owner.is_admin:
        rows.take_turns(owner.pk)
        if owner.overlays.count() >= MOST_OVERLAYS:
            raise Invalid(
                _("A user can have %(most)d overlays. Delete those that no blueprint uses.") % {"most": MOST_OVERLAYS},
                cure=Cure(label=_("Show overlays"), url=reverse("overlays:list")),
            )
    overlay = Overlay(name=name, kind=kind, owner=owner, expose_cfg=expose_cfg)
    # The id is known only after the INSERT; until then the path only has to be unique.
    overlay.path = _typed_path(path) if path else f"new-{uuid4().hex}"
    rows.save_clean(overlay, places=_FIELDS)
    if not path:
        overlay.path = str(overlay.pk)
        paths.refuse_overlap(overlay.path, besides=overlay.pk)
        overlay.save(update_fields=["path"])
    record.write(action="overlay.create", by=by, target=overlay.resource, name=name, kind=kind)
    return overlay


@transaction.atomic
def update(*, overlay: Overlay, seen_version: int, by: User, **changes: Unpack[OverlayChanges]) -> Overlay:
    """Change an overlay that `by` read at `seen_version`. Raises Stale, rows.Gone and ValidationError."""
    current = rows.still_there(Overlay.objects.select_for_update(of=("self",)), overlay)
    if current.version != seen_version:
        raise Stale(
            _("Someone else edited this overlay; nothing was overwritten. Save again to overwrite their changes."),
            current=current,
        )
    path = changes.pop("path", current.path)
    if path != current.path:
        current.path = _typed_path(path, besides=current.pk)
    for name, value in changes.items():
        setattr(current, name, value)
    current.version += 1
    rows.save_clean(current, places=_FIELDS)
    record.write(action="overlay.update", by=by, target=current.resource, name=current.name)
    return current


@transaction.atomic
def delete(*, overlay: Overlay, by: User) -> None:
    """Delete the row, and request jobs that delete its directory (if left4me created it) and its copies on hosts.

    Raises InUse with the blueprints that use it, and rows.Gone.
    """
    # Adding the overlay to a blueprint takes the same lock.
    current = rows.still_there(Overlay.objects.select_for_update(of=("self",)), overlay)
    blueprints = used_by(current)
    if blueprints:
        raise InUse(blueprints)
    record.write(action="overlay.delete", by=by, target=current.resource, name=current.name)
    hosts = [settings.LEFT4ME_HOST] if current.path == str(current.pk) else []
    for host in (*hosts, *current.copies.values_list("host", flat=True)):
        jobs.request(operation="remove_overlay", resource=current.resource, by=by, host=host)
    if current.owner_id is not None:
        signals.send_after_commit(current.resource, also=[current.owner_id])
    current.delete()


@transaction.atomic
def set_link(*, addon: OverlayAddon, link: str, by: User) -> OverlayAddon:
    """Set where players get an addon; an empty link removes it. Raises ValidationError."""
    link = link.strip()
    if link and not missions.is_address(link):
        raise ValidationError({"link": _("Enter a web address, for example https://www.gamemaps.com/….")})
    addon.link = link
    addon.save(update_fields=["link"])
    target = f"overlay:{addon.overlay_id}"
    record.write(action="overlay.link_changed", by=by, target=target, path=addon.path, link=link)
    return addon


@transaction.atomic
def allow_programs(*, overlay: Overlay, by: User) -> Overlay:
    """Let servers start with the programs of the game that the overlay holds now. A changed one needs a new yes.

    The caller checks that `by` is an admin.
    """
    current = Overlay.objects.select_for_update().get(pk=overlay.pk)
    current.allowed_programs = current.programs
    current.save(update_fields=["allowed_programs"])
    record.write(action="overlay.programs_allowed", by=by, target=overlay.resource, programs=sorted(current.programs))
    return current


def used_by(overlay: Overlay) -> list[tuple[str, str]]:
    """The blueprints that use the overlay, as (name, owner)."""
    links = overlay.in_blueprints.order_by(NaturalOrder("blueprint__name"))
    return list(links.values_list("blueprint__name", "blueprint__owner__username"))


def _typed_path(path: str, *, besides: int | None = None) -> str:
    try:
        path = paths.clean_path(path)
        paths.refuse_overlap(path, besides=besides)
    except ValidationError as fault:
        raise ValidationError({"path": fault}) from None
    return path
