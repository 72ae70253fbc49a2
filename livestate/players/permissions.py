"""Permissions on players and on notes about them, and lookups with them.

A player is seen by those who may see a visit, a ban or a note of the player. Notes belong to the owner of servers: the
owner and all who operate one of these servers read and write them.
"""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404
from django.utils.translation import gettext as _

from accounts.models import User
from left4me.core.web.request import is_admin
from livestate.models import PlayerNote
from livestate.players import records
from livestate.players.records import Player
from servers.models import Server


def player_or_404(user: User, steam_id_64: int) -> Player:
    """The player. Raises Http404 for users who may see nothing about this account."""
    player = records.of(user, steam_id_64)
    if not user.is_active or not player.is_known:
        raise Http404(_("Player not found."))
    return player


def player_to_forget(user: User, steam_id_64: int) -> Player:
    """The player, for admins. Raises Http404 and PermissionDenied."""
    player = player_or_404(user, steam_id_64)
    if not is_admin(user):
        raise PermissionDenied(_("Only admins can have a player forgotten."))
    return player


def note_owners(user: User) -> QuerySet[User]:
    """The users to whose servers a note of this user can belong."""
    owners = Server.objects.operated_by(user).values("owner")
    users: QuerySet[User] = User.objects.filter(pk__in=owners)
    return users.order_by("username")


def default_note_owner(user: User, player: Player) -> User | None:
    """The owner of the server on which the player was last, if the user may write notes there."""
    owners = note_owners(user)
    last = owners.filter(pk=player.latest.server.owner_id).first() if player.latest else None
    return last or owners.filter(pk=user.pk).first() or owners.first()


def check_can_write_notes(user: User, owner: User | None = None) -> None:
    """Raises PermissionDenied for those who operate no server, with `owner` no server of that user."""
    owners = note_owners(user) if owner is None else note_owners(user).filter(pk=owner.pk)
    if not user.is_active or not owners.exists():
        raise PermissionDenied(_("Only the owner and the operators of a server can write notes about its players."))


def can_change_note(user: User, note: PlayerNote) -> bool:
    return user.is_active and (user.pk in (note.owner_id, note.author_id) or is_admin(user))


def check_can_change_note(user: User, note: PlayerNote) -> None:
    if not can_change_note(user, note):
        raise PermissionDenied(_("Only its author and the owner of the servers can change this note."))


def note_to_change(user: User, pk: int) -> PlayerNote:
    """The note. Raises Http404 for users who may not see it, and PermissionDenied."""
    notes = PlayerNote.objects.visible_to(user).select_related("owner", "author")
    note = notes.filter(pk=pk).first() if user.is_active else None
    if note is None:
        raise Http404(_("Note not found."))
    check_can_change_note(user, note)
    return note
