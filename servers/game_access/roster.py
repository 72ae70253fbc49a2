"""The roster of a server: who has which rights in its game, and where each comes from.

It is computed from rows whenever it is needed, so that it follows shares, users and dates by itself. It is read on
worker hosts too, whose database role sees few columns of users: everything here names the columns it needs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from django.db.models import Q
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.models import SteamSource, User
from servers.models import GameAccess, GamePerson, Server, ServerShare

SERVER: Final = "server"
BLUEPRINT: Final = "blueprint"
TEAM: Final = "team"
SOURCES: Final = {SERVER: _("This server"), BLUEPRINT: _("Blueprint"), TEAM: _("Owner or operator")}

TEAM_IMMUNITY: Final = 50
_USER: Final = ("id", "username", "is_active", "is_admin", "steam_id", "steam_source")
PROBLEMS: Final[dict[str, str | Promise]] = {
    "deactivated": _("The account is deactivated."),
    "no_access": _("No access to this server. Share the server, or list the Steam ID instead."),
    "no_steam_id": _("No Steam ID in the account. The user can confirm it with Steam on the account page."),
    "not_confirmed": _("The Steam ID is not confirmed. The user can confirm it with Steam on the account page."),
    "expired": _("Expired."),
}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A person of the roster. One with a `problem` has no rights in the game."""

    source: str
    name: str
    username: str = ""
    steam_id: int | None = None
    role: str
    flags: str
    immunity: int = 0
    until: datetime | None = None
    problem: str = ""

    @property
    def source_label(self) -> str | Promise:
        return SOURCES[self.source]

    @property
    def role_label(self) -> str | Promise:
        return GamePerson.Role(self.role).label

    @property
    def problem_text(self) -> str | Promise:
        return PROBLEMS.get(self.problem, "")


@dataclass(frozen=True)
class Rules:
    team_are_admins: bool = False
    whitelist: bool = False
    reserved_slots: int = 0


@dataclass
class Roster:
    """The entries of a server, each person once, and its rules."""

    rules: Rules = field(default_factory=Rules)
    entries: list[Entry] = field(default_factory=list)
    has_rows: bool = False

    @property
    def effective(self) -> list[Entry]:
        """The people with a Steam ID that counts."""
        return [entry for entry in self.entries if not entry.problem]

    @property
    def admins(self) -> list[Entry]:
        return [entry for entry in self.effective if entry.flags]

    @property
    def steam_ids(self) -> set[int]:
        """The people who may join a server with a whitelist."""
        return {entry.steam_id for entry in self.effective if entry.steam_id is not None}


def of(server_ids: Iterable[int], *, now: datetime) -> dict[int, Roster]:
    """The roster of each of these servers, in six queries for any number of them."""
    servers = {
        row["pk"]: row
        for row in Server.objects.filter(pk__in=list(server_ids)).order_by().values("pk", "owner_id", "blueprint_id")
    }
    blueprints = {row["blueprint_id"] for row in servers.values()}
    here = Q(server__in=list(servers)) | Q(blueprint__in=list(blueprints))
    people = list(GamePerson.objects.filter(here).order_by("pk"))
    rules = list(GameAccess.objects.filter(here))
    shares: dict[int, dict[int, str]] = defaultdict(dict)
    users: dict[int, dict[str, Any]] = {}
    if people or rules:
        for row in ServerShare.objects.filter(server__in=list(servers)).values("server_id", "user_id", "role"):
            shares[row["server_id"]][row["user_id"]] = row["role"]
        wanted = {person.user_id for person in people if person.user_id}
        wanted |= {user for of_server in shares.values() for user in of_server}
        wanted |= {row["owner_id"] for row in servers.values()}
        users = {row["id"]: row for row in User.objects.filter(pk__in=wanted).values(*_USER)}
    return {
        pk: _roster(
            row,
            people=[each for each in people if pk == each.server_id or row["blueprint_id"] == each.blueprint_id],
            rules=[each for each in rules if pk == each.server_id or row["blueprint_id"] == each.blueprint_id],
            shares=shares[pk],
            users=users,
            now=now,
        )
        for pk, row in servers.items()
    }


def of_one(server: Server, *, now: datetime) -> Roster:
    return of([server.pk], now=now)[server.pk]


def _roster(
    server: Mapping[str, Any],
    *,
    people: Sequence[GamePerson],
    rules: Sequence[GameAccess],
    shares: Mapping[int, str],
    users: Mapping[int, Mapping[str, Any]],
    now: datetime,
) -> Roster:
    merged = _merged(rules)
    entries = [_entry(person, server, shares=shares, users=users, now=now) for person in people]
    if merged.team_are_admins:
        operators = [user for user, role in shares.items() if role == ServerShare.Role.OPERATOR]
        entries += [_of_team(users[user]) for user in (server["owner_id"], *operators) if user in users]
    # Of the rows of a person that count, the server's replaces the blueprint's, and either replaces the rule.
    order = {SERVER: 0, BLUEPRINT: 1, TEAM: 2}
    entries.sort(key=lambda entry: (bool(entry.problem), order[entry.source]))
    kept: dict[object, Entry] = {}
    for entry in entries:
        kept.setdefault(entry.steam_id or entry.username, entry)
    return Roster(rules=merged, entries=list(kept.values()), has_rows=bool(people or rules))


def _merged(rules: Sequence[GameAccess]) -> Rules:
    """A rule holds if the blueprint or the server has it; the server's number of reserved slots replaces the other."""
    own = next((row.reserved_slots for row in rules if row.server_id and row.reserved_slots), 0)
    return Rules(
        team_are_admins=any(row.team_are_admins for row in rules),
        whitelist=any(row.whitelist for row in rules),
        reserved_slots=own or next((row.reserved_slots for row in rules if row.reserved_slots), 0),
    )


def _entry(
    person: GamePerson,
    server: Mapping[str, Any],
    *,
    shares: Mapping[int, str],
    users: Mapping[int, Mapping[str, Any]],
    now: datetime,
) -> Entry:
    entry = Entry(
        source=SERVER if person.server_id else BLUEPRINT,
        name=person.name,
        steam_id=person.steam_id,
        role=person.role,
        flags=person.granted_flags,
        immunity=person.immunity,
        until=person.until,
    )
    if person.user_id:
        user = users[person.user_id]
        has_access = user["is_admin"] or person.user_id == server["owner_id"] or person.user_id in shares
        entry = _with_user(entry, user, has_access=has_access)
    if entry.until is not None and entry.until <= now:
        entry = replace(entry, problem="expired")
    return entry


def _of_team(user: Mapping[str, Any]) -> Entry:
    role = GamePerson.Role.ADMIN
    flags = GamePerson.ROLE_FLAGS[role]
    return _with_user(
        Entry(source=TEAM, name="", role=role, flags=flags, immunity=TEAM_IMMUNITY), user, has_access=True
    )


def _with_user(entry: Entry, user: Mapping[str, Any], *, has_access: bool) -> Entry:
    """The entry with the Steam ID of the user's account. It counts while the user may see the server."""
    problem = ""
    if not user["is_active"]:
        problem = "deactivated"
    elif not has_access:
        problem = "no_access"
    elif user["steam_id"] is None:
        problem = "no_steam_id"
    elif user["steam_source"] == SteamSource.USER:
        problem = "not_confirmed"
    name = user["username"]
    return replace(entry, name=name, username=name, steam_id=user["steam_id"], problem=problem)
