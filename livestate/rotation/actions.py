"""Changes of rotations and queues, and of what a server plays next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from left4me.audit import record
from left4me.core.redis import signals
from left4me.core.rows import clean
from left4me.core.web.refusals import Refused
from livestate import live
from livestate.rotation import entries, follow, rotations
from livestate.rotation.entries import MOST_ENTRIES, Entry
from livestate.rotation.models import MapState, Rotation
from servers import permissions
from servers.blueprints import maps
from servers.blueprints.maps import Chapter
from servers.models import Blueprint, Server

MOST_QUEUED = 20


def set_rotation(
    *,
    of: Blueprint | Server,
    by: User,
    codes: Sequence[str] | None = None,
    request: HttpRequest | None = None,
    **changes: Any,
) -> Rotation:
    """Change the rotation of a blueprint, or of one server, which then has its own.

    A server's first one begins with that of its blueprint. `codes` are its entries, such as `campaign:c1m1_hotel`.
    Raises ValidationError.
    """
    _check_can_edit(of, by)
    with transaction.atomic():
        row = Rotation.objects.select_for_update(of=("self",)).filter(**Rotation.place(of)).first()
        row = row or _first(of)
        if codes is not None:
            row.entries = [entry.dump() for entry in _parsed(codes, chapters_of(of), row.listed)]
        for name, value in changes.items():
            setattr(row, name, value)
        clean(row)
        row.save()
        _record("rotation", of, by, request, entries=[entry.code for entry in row.listed], **changes)
    return row


def remove_rotation(*, of: Blueprint | Server, by: User, request: HttpRequest | None = None) -> None:
    """Without a rotation of its own, a server follows that of its blueprint, if there is one."""
    _check_can_edit(of, by)
    with transaction.atomic():
        if Rotation.objects.filter(**Rotation.place(of)).delete()[0]:
            _record("rotation_removed", of, by, request)


def set_queue(*, server: Server, codes: Sequence[str], by: User, request: HttpRequest | None = None) -> MapState:
    """Replace what a server plays before its rotation goes on; an empty queue clears it. Raises ValidationError."""
    permissions.check_can_operate_server(by, server)
    if len(codes) > MOST_QUEUED:
        raise ValidationError(_("The queue is full: it holds %(most)d maps.") % {"most": MOST_QUEUED})
    with transaction.atomic():
        row = state_of(server)
        row.queue = [entry.dump() for entry in _parsed(codes, chapters_of(server), row.queued)]
        follow.save(row)
        record.write(
            action="server.map_queue", by=by, target=server.resource, request=request, maps=[*map(str, codes)]
        )
    return row


def cancel(*, server: Server, by: User, request: HttpRequest | None = None) -> None:
    """Cancel the change that is announced. The game goes on as it does by itself. Raises Refused."""
    permissions.check_can_operate_server(by, server)
    look = _look(server)
    if look.row.due_at is None:
        raise Refused(_("No change of the map is announced."))
    with transaction.atomic():
        look.cancel()
        record.write(action="server.map_cancel", by=by, target=server.resource, request=request)


def change_now(*, server: Server, by: User, request: HttpRequest | None = None) -> Entry:
    """Change to what comes next at once. Raises Refused."""
    permissions.check_can_operate_server(by, server)
    look = _look(server)
    # The order has its own entry in the audit log.
    with transaction.atomic():
        return look.change_now(by=by, request=request)


def state_of(server: Server) -> MapState:
    return MapState.objects.filter(server=server).first() or MapState(server=server)


def chapters_of(of: Blueprint | Server) -> dict[str, Chapter]:
    return maps.playable(of.blueprint_id if isinstance(of, Server) else of.pk)


def _look(server: Server) -> follow.Look:
    now = timezone.now()
    return follow.Look(state_of(server), live.of(server, now=now), rotations.of_server(server), [], now)


def _first(of: Blueprint | Server) -> Rotation:
    row = Rotation(**Rotation.place(of))
    shared = Rotation.objects.filter(blueprint=of.blueprint).first() if isinstance(of, Server) else None
    if shared is not None:
        for name in ("is_on", "entries", "sequence", "repeats", "wait_seconds", "survival_rounds"):
            setattr(row, name, getattr(shared, name))
    return row


def _parsed(codes: Sequence[str], chapters: dict[str, Chapter], listed: Sequence[Entry]) -> list[Entry]:
    """The entries with these codes; what is gone may stay where it is listed already. Raises ValidationError."""
    if len(codes) > MOST_ENTRIES:
        raise ValidationError(_("The list is full: it holds %(most)d campaigns and maps.") % {"most": MOST_ENTRIES})
    kept = {entry.code: entry for entry in listed}
    found = []
    for code in codes:
        entry = entries.Entry.parse(code, chapters) or kept.get(code)
        if entry is None:
            raise ValidationError(
                _("“%(code)s” is neither in the game nor in an overlay of the blueprint.") % {"code": code[:80]}
            )
        found.append(entry)
    return found


def _check_can_edit(of: Blueprint | Server, by: User) -> None:
    if isinstance(of, Server):
        permissions.check_can_edit_server(by, of)
    else:
        permissions.check_can_edit_blueprint(by, of)


def _record(action: str, of: Blueprint | Server, by: User, request: HttpRequest | None, **details: Any) -> None:
    is_server = isinstance(of, Server)
    target = of.resource if isinstance(of, Server) else f"blueprint:{of.pk}"
    record.write(
        action=f"{'server' if is_server else 'blueprint'}.{action}", by=by, target=target, request=request, **details
    )
    if not isinstance(of, Server):
        pks = of.servers.values_list("pk", flat=True)
        signals.send_after_commit(*(f"{signals.SERVER}:{pk}" for pk in pks))
