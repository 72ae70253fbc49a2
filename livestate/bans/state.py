"""How far bans have come: what each game was last seen to have of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from livestate.bans import effective, permissions
from livestate.bans.models import AppliedBans, Ban
from livestate.models import SteamProfile
from servers.models import Server

_NEWEST = 10


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of one ban on one server, for a badge; `reason` says why it is not confirmed."""

    server: Server
    code: str
    label: str | Promise
    tone: str
    reason: str = ""


def on_servers(ban: Ban, *, user: User) -> list[Progress]:
    """The state of an active ban on each server that it applies to and that the user can see."""
    concerned = [server.pk for server in effective.servers_with([ban.ban_list])]
    servers = list(Server.objects.visible_to(user).filter(pk__in=concerned).order_by("name"))
    lists = effective.lists_of(servers)
    rows = AppliedBans.objects.in_bulk([server.pk for server in servers])
    return [_progress(ban, server, lists[server.pk].signature, rows.get(server.pk)) for server in servers]


def latest_on(server: Server, *, user: User, now: datetime) -> tuple[list[dict[str, Any]], int]:
    """The newest active bans that apply to a server, each with its state there, and the number of all of them."""
    lists = effective.lists_of([server])[server.pk]
    bans = Ban.objects.active(now).filter(ban_list__in=lists.ids)
    row = AppliedBans.objects.filter(server=server).first()
    shown = with_profiles(list(bans.for_pages()[:_NEWEST]), user=user)
    return [{**each, "progress": _progress(each["ban"], server, lists.signature, row)} for each in shown], bans.count()


def with_profiles(bans: Sequence[Ban], *, user: User) -> list[dict[str, Any]]:
    """The bans with the Steam profiles of their players, and whether the user may change them."""
    accounts = [ban.steam_id_64 for ban in bans if ban.steam_id_64 is not None]
    profiles = SteamProfile.objects.in_bulk(accounts)
    may = {ban.ban_list_id: permissions.can_ban(user, ban.ban_list) for ban in bans}
    return [
        {
            "ban": ban,
            "profile": (profile := profiles.get(ban.steam_id_64) if ban.steam_id_64 else None),
            "name": ban.name or (profile.persona_name if profile else ""),
            "may_change": may[ban.ban_list_id],
        }
        for ban in bans
    ]


def unconfirmed(user: User) -> list[AppliedBans]:
    """The running servers of the user whose games have not confirmed all bans, with the reasons."""
    rows = AppliedBans.objects.filter(failures__gt=0, server__in=Server.objects.visible_to(user).running())
    return list(rows.select_related("server").order_by("server__name"))


def _progress(ban: Ban, server: Server, signature: str, row: AppliedBans | None) -> Progress:
    if server.actual_state != Server.State.RUNNING:
        return Progress(server, "stopped", _("Applies at the next start"), "idle")
    reason = row.problems.get(ban.target) or row.error if row else ""
    if reason:
        return Progress(server, "failed", _("Not confirmed"), "bad", reason)
    if row and row.signature == signature and ban.target in row.targets:
        return Progress(server, "applied", _("In effect"), "ok")
    return Progress(server, "waiting", _("Being applied"), "busy")
