"""Changes of who may do what inside the games of a blueprint or of a server."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.permissions import user_named
from left4me.audit import record
from left4me.core import steam_ids
from left4me.core.rows import still_there, storable, take_turns
from servers.actions.blueprints import edit_lists
from servers.game_access import application
from servers.models import Blueprint, GameAccess, GamePerson, Server

MOST_PEOPLE = 500


@transaction.atomic
def set_person(
    *,
    of: Blueprint | Server,
    person: str,
    by: User,
    role: str = GamePerson.Role.ADMIN,
    name: str = "",
    flags: str = "",
    immunity: int = 0,
    until: datetime | None = None,
) -> GamePerson:
    """List a person, given by username or Steam ID, or change what is listed for them. Raises ValidationError."""
    who = _identify(person, by=by)
    take_turns(of.owner_id)
    with _edit(of, by):
        people = GamePerson.objects.select_for_update().of(of)
        row = people.filter(**who).first()
        if row is None:
            if people.count() >= MOST_PEOPLE:
                raise ValidationError(_("The list is full: it holds %(most)d people.") % {"most": MOST_PEOPLE})
            row = GamePerson(**GamePerson.place(of), **who)
        _save(row, of, by, role=role, name=name, flags=flags, immunity=immunity, until=until)
    return row


@transaction.atomic
def change_person(
    *,
    row: GamePerson,
    by: User,
    role: str,
    immunity: int,
    name: str = "",
    flags: str = "",
    until: datetime | None = None,
) -> GamePerson:
    """Change what is listed for a person. Raises ValidationError, and rows.Gone for one who was removed."""
    of = row.of
    with _edit(of, by):
        row = still_there(GamePerson.objects.select_for_update(of=("self",)).select_related("user"), row)
        _save(row, of, by, role=role, name=name, flags=flags, immunity=immunity, until=until)
    return row


def _save(
    row: GamePerson,
    of: Blueprint | Server,
    by: User,
    *,
    role: str,
    name: str,
    flags: str,
    immunity: int,
    until: datetime | None,
) -> None:
    # An end in the past stays with what is changed besides.
    if until is not None and until <= timezone.now() and until != row.until:
        raise ValidationError({"until": _("This moment is over. Choose a later one, or leave it empty.")})
    row.role, row.immunity, row.until = role, immunity, until
    row.name = " ".join(storable(name, 64).split())
    row.flags = "".join(sorted(set(flags.lower()))) if role == GamePerson.Role.CUSTOM else ""
    if role == GamePerson.Role.CUSTOM and not row.flags:
        raise ValidationError({"flags": _("Choose at least one flag, or another role.")})
    row.full_clean(validate_unique=False, validate_constraints=False)
    row.save()
    _record("game_admin_set", of, by, person=_called(row), role=role, flags=row.granted_flags)
    application.request(of)


@transaction.atomic
def remove_person(*, row: GamePerson, by: User) -> None:
    """Take a person off the list."""
    of = row.of
    with _edit(of, by):
        row.delete()
    _record("game_admin_removed", of, by, person=_called(row))
    application.request(of)


@transaction.atomic
def set_rules(*, of: Blueprint | Server, by: User, **changes: Any) -> GameAccess:
    """Change the rules `team_are_admins`, `whitelist` and `reserved_slots`. Raises ValidationError."""
    with _edit(of, by):
        rules = GameAccess.objects.select_for_update().filter(**GameAccess.place(of)).first()
        rules = rules or GameAccess(**GameAccess.place(of))
        for name, value in changes.items():
            setattr(rules, name, value)
        rules.full_clean(validate_unique=False, validate_constraints=False)
        rules.save()
    _record("game_access", of, by, **changes)
    application.request(of)
    return rules


def _edit(of: Blueprint | Server, by: User) -> AbstractContextManager[None]:
    """The frame of a change of a list: a blueprint keeps a version of it."""
    return edit_lists(of, by=by) if isinstance(of, Blueprint) else contextlib.nullcontext()


def _identify(person: str, *, by: User) -> dict[str, Any]:
    """The user or the Steam ID that a text names, as values of a row."""
    person = person.strip()
    # A username could consist of 17 digits, but a person who types them means the Steam account.
    if steam_id := steam_ids.parse(person):
        return {"steam_id": steam_id}
    user = user_named(person, by=by)
    if user is None:
        raise ValidationError({"person": _("No user with that name, and not a Steam ID. Check the spelling.")})
    return {"user": user}


def _called(row: GamePerson) -> str:
    return row.user.get_username() if row.user else f"{row.name} {row.steam_id}".strip()


def _record(action: str, of: Blueprint | Server, by: User, **details: Any) -> None:
    is_server = isinstance(of, Server)
    target = of.resource if isinstance(of, Server) else f"blueprint:{of.pk}"
    record.write(action=f"{'server' if is_server else 'blueprint'}.{action}", by=by, target=target, **details)
