"""Changes of notes about players. Their audit entries name neither the player nor the text."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from left4me.audit import record
from left4me.core import rows
from left4me.core.web.refusals import Refused
from livestate.models import PlayerNote
from livestate.players import permissions

MOST = 100
# All that a deleted note needs to be written again.
_KEPT = ("owner_id", "steam_id_64", "text", "author_id", "created_at", "changed_at")


@transaction.atomic
def add(*, steam_id_64: int, owner: User, text: str, by: User) -> PlayerNote:
    """Write a note for those who run servers of `owner`. Raises ValidationError, Refused and PermissionDenied."""
    permissions.check_can_write_notes(by, owner)
    _check_room(steam_id_64, owner)
    note = PlayerNote(steam_id_64=steam_id_64, owner=owner, author=by, text=_checked(text))
    rows.save_clean(note)
    record.write(action="note.add", by=by, target=note.resource)
    return note


@transaction.atomic
def change(*, note: PlayerNote, text: str, by: User) -> PlayerNote:
    """Raises ValidationError and PermissionDenied."""
    permissions.check_can_change_note(by, note)
    current = rows.still_there(PlayerNote.objects.select_for_update(), note)
    current.text, current.changed_at = _checked(text), timezone.now()
    rows.save_clean(current)
    record.write(action="note.change", by=by, target=note.resource)
    return current


@transaction.atomic
def delete(*, note: PlayerNote, by: User) -> dict[str, Any]:
    """Delete a note; returns the arguments with which `restore` brings it back. Raises PermissionDenied."""
    permissions.check_can_change_note(by, note)
    record.write(action="note.delete", by=by, target=note.resource)
    note.delete()
    return {name: getattr(note, name) for name in _KEPT}


@transaction.atomic
def restore(*, by: User, **kept: Any) -> PlayerNote:
    """Write a deleted note again. Raises Refused, PermissionDenied, and rows.Gone if its owner was deleted."""
    accounts = User.objects.in_bulk([kept["owner_id"], kept["author_id"]])
    if kept["owner_id"] not in accounts:
        raise rows.Gone
    owner = accounts[kept["owner_id"]]
    permissions.check_can_write_notes(by, owner)
    _check_room(kept["steam_id_64"], owner)
    author = accounts.get(kept["author_id"])
    note = PlayerNote.objects.create(**{**kept, "author_id": author.pk if author else None})
    record.write(action="note.restore", by=by, target=note.resource)
    return note


def _check_room(steam_id_64: int, owner: User) -> None:
    """Raises Refused if there is no room for one more note; it keeps the room until the transaction ends."""
    rows.take_turns(owner.pk)
    if PlayerNote.objects.filter(steam_id_64=steam_id_64, owner=owner).count() >= MOST:
        raise Refused(_("There are %d notes about this player already. Delete one first.") % MOST)


def _checked(text: str) -> str:
    text = text.strip()
    if not text:
        raise ValidationError({"text": _("Enter a note.")})
    return text
