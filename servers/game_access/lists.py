"""The people and rules of a blueprint or a server as plain values, as versions, runs and YAML files keep them.

A person is a dict with `user` (the key of an account, or None), `name`, `steam_id` (as text, since JavaScript rounds
large numbers), `role`, `flags`, `immunity` and `until`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, TypeAlias

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import User
from left4me.core import moments
from servers.game_access.roster import Roster
from servers.models import Blueprint, GameAccess, GamePerson, Server

Access: TypeAlias = Mapping[str, Any]
RULES: Final = ("team_are_admins", "whitelist", "reserved_slots")


def content(of: Blueprint | Server) -> dict[str, Any]:
    """The list and the rules of `of` itself."""
    rules = GameAccess.objects.filter(**GameAccess.place(of)).first() or GameAccess()
    people = [
        {
            "user": row.user_id,
            "name": row.user.get_username() if row.user else row.name,
            "steam_id": str(row.steam_id) if row.steam_id else None,
            "role": row.role,
            "flags": row.flags,
            "immunity": row.immunity,
            "until": row.until.isoformat() if row.until else None,
        }
        for row in GamePerson.objects.of(of).select_related("user")
    ]
    # By who they are, so that a person who comes back is no difference.
    people.sort(key=lambda person: (person["user"] or 0, person["steam_id"] or ""))
    return {**{name: getattr(rules, name) for name in RULES}, "people": people}


def of_roster(roster: Roster) -> dict[str, Any]:
    """The people who have rights in the game of a server, wherever they come from, and its rules."""
    people = [
        {
            "name": entry.name,
            "steam_id": str(entry.steam_id),
            "role": entry.role,
            "flags": entry.flags if entry.role == GamePerson.Role.CUSTOM else "",
            "immunity": entry.immunity,
        }
        for entry in roster.effective
    ]
    people.sort(key=lambda person: str(person["steam_id"]))
    return {**{name: getattr(roster.rules, name) for name in RULES}, "people": people}


def without_missing(access: Access) -> tuple[dict[str, Any], list[str]]:
    """The same without people whose accounts were deleted, and the names of those."""
    there = User.objects.in_bulk([person["user"] for person in access["people"] if person["user"]])
    missing = [person["name"] for person in access["people"] if person["user"] and person["user"] not in there]
    people = [person for person in access["people"] if not person["user"] or person["user"] in there]
    return {**access, "people": people}, missing


def replace(of: Blueprint | Server, access: Access) -> None:
    """Make the list and the rules of `of` these. Rows of people who stay are kept."""
    rows = {(row.user_id, row.steam_id): row for row in GamePerson.objects.of(of)}
    for person in access["people"]:
        who = (person["user"], int(person["steam_id"]) if person["steam_id"] else None)
        row = rows.pop(who, None) or GamePerson(**GamePerson.place(of), user_id=who[0], steam_id=who[1])
        row.name = "" if row.user_id else person["name"]
        row.role, row.flags, row.immunity = person["role"], person["flags"], person["immunity"]
        row.until = datetime.fromisoformat(person["until"]) if person["until"] else None
        row.save()
    GamePerson.objects.filter(pk__in=[row.pk for row in rows.values()]).delete()
    rules = {name: access[name] for name in RULES}
    if not GameAccess.objects.filter(**GameAccess.place(of)).update(**rules) and any(rules.values()):
        GameAccess.objects.create(**GameAccess.place(of), **rules)


def lines(access: Access) -> list[str]:
    """A line for each rule that holds and for each person, as differences show them."""
    found = []
    if access["team_are_admins"]:
        found.append(_("Owner and operators are admins."))
    if access["whitelist"]:
        found.append(_("Only listed people may join."))
    if slots := access["reserved_slots"]:
        found.append(ngettext("%(n)s reserved slot", "%(n)s reserved slots", slots) % {"n": slots})
    return found + [_line(person) for person in access["people"]]


def _line(person: Mapping[str, Any]) -> str:
    who = person["name"] or person["steam_id"]
    if person["steam_id"] and person["name"]:
        who = f"{who} ({person['steam_id']})"
    rights = [str(GamePerson.Role(person["role"]).label)]
    if person["flags"]:
        rights[0] += f" {person['flags']}"
    if person["immunity"]:
        rights.append(_("immunity %(number)s") % {"number": person["immunity"]})
    if until := person.get("until"):
        rights.append(_("until %s") % moments.minute(datetime.fromisoformat(until)))
    return f"{who}: {', '.join(rights)}"
