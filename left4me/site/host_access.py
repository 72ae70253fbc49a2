"""What a worker host may do, in sentences for page, API and command: made from the list that the database enforces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe
from ninja import Router, Schema
from pydantic import Field

from accounts.permissions import signed_in
from left4me.core.web.api import require_scope
from left4me.site.host_rights import RIGHTS
from servers import lookups
from servers.models import Host

router = Router(tags=["hosts"])


@dataclass(frozen=True)
class Topic:
    """What some tables hold, as far as a host may see it."""

    words: Promise
    tables: tuple[str, ...]

    def has(self, *privileges: str) -> bool:
        return any(privilege in RIGHTS[table] for table in self.tables for privilege in privileges)


# Each table of `host_rights.RIGHTS` once. Those to which hosts have no right are named by what they must not see.
TOPICS: Final = (
    Topic(
        _("its servers, with their RCON passwords, and with whom they are shared"),
        ("servers.Server", "servers.ServerShare", "servers.DeletedServer", "servers.PlayersLink"),
    ),
    Topic(_("its jobs and their logs"), ("jobs.Job", "jobs.JobLog")),
    Topic(_("which servers and overlays are locked by jobs, by number"), ("jobs.JobLock",)),
    Topic(
        _("states, players, console commands and figures of its servers"),
        (
            *("servers.StateChange", "servers.GameRun", "livestate.Snapshot", "livestate.PlayerSession"),
            *(
                "livestate.ServerPlayer",
                "livestate.ServerFigures",
                "livestate.Silence",
                "livestate.Order",
                "demos.Demo",
            ),
            *("rotation.GameEvent", "rotation.MapState"),
            *("matches.Match", "matches.MatchPlayer"),
        ),
    ),
    Topic(
        _("its own state and figures"),
        ("servers.Host", "servers.GameCheck", "livestate.HostFigures", "livestate.Sweep"),
    ),
    Topic(
        _("the blueprints that its servers use, and what their overlays contain"),
        (
            *("servers.Blueprint", "servers.BlueprintOverlay", "overlays.Overlay", "overlays.OverlayAddon"),
            *("overlays.OverlayWorkshopItem", "rotation.Rotation"),
        ),
    ),
    Topic(_("which copies of overlays it has"), ("overlays.OverlayCopy",)),
    Topic(
        _("what Steam shows everybody about workshop items and accounts of players"),
        ("workshop.WorkshopItem", "livestate.SteamProfile"),
    ),
    Topic(
        _("bans and admins in the games of its servers"),
        (
            *("bans.AppliedBans", "bans.Ban", "bans.BanList", "servers.GameAccess", "servers.GamePerson"),
            "servers.GameAccessState",
        ),
    ),
    Topic(_("which ban lists apply to whose servers"), ("bans.Subscription",)),
    Topic(
        _("names and Steam IDs of admins, and of users who have to do with its servers and jobs"), ("accounts.User",)
    ),
    Topic(
        _("alerts about its servers and itself, and who wants them"),
        ("alerts.Channel", "alerts.Delivery", "alerts.Incident"),
    ),
    Topic(_("the list of backups of its servers, and how much their owners have"), ("backups.Backup",)),
    Topic(
        _("names of schedules of its servers, and on which status pages they are"),
        ("schedules.Run", "schedules.Schedule", "status_pages.StatusPage_servers"),
    ),
    Topic(
        _("passwords of users, sessions, tokens and invitations"),
        (
            "accounts.ApiToken",
            "accounts.AuthenticatorApp",
            "accounts.Identity",
            "accounts.OneTimeLink",
            "accounts.Passkey",
            "accounts.RecoveryCode",
            "accounts.Session",
            "servers.HostToken",
        ),
    ),
    Topic(_("the audit log"), ("audit.AuditEntry", "admin.LogEntry")),
    Topic(_("notes about players"), ("livestate.PlayerNote",)),
    Topic(
        _("scripts, uploads and deleted files of overlays, and earlier versions of blueprints"),
        (
            *("overlays.OverlayScript", "overlays.Upload", "overlays.DeletedFile", "overlays.AddonContents"),
            *("overlays.OverlayContents", "overlays.OverlayCollection", "workshop.WorkshopContents"),
            "overlays.OverlayMatchModes",
            *("servers.BlueprintVersion", "servers.StarterBlueprint", "importer.Import"),
        ),
    ),
    Topic(
        _("status pages, actions on many servers, saved filters and the bell"),
        (
            *("status_pages.StatusPage", "status_pages.StatusMessage", "schedules.BulkAction"),
            *("accounts.SavedFilter", "alerts.BellMark", "servers.ServerMove", "servers.ServerCopy"),
        ),
    ),
    # Of Django, and empty here.
    Topic(
        _("tables of Django"), ("auth.Group", "auth.Group_permissions", "auth.Permission", "contenttypes.ContentType")
    ),
)


class HostAccessOut(Schema):
    is_web: bool = Field(description="Whether it runs the web: then nothing is closed to it, and the lists are empty")
    has_own_key: bool = Field(description="Whether its key opens the RCON passwords of its own servers only")
    reads: list[str]
    changes: list[str]
    never: list[str] = Field(description="What it neither reads nor changes")


def of(host: Host) -> dict[str, Any]:
    """The values of `HostAccessOut`, in the language of the reader."""
    is_web = host.name == settings.LEFT4ME_HOST
    topics = () if is_web else TOPICS
    return {
        "is_web": is_web,
        "has_own_key": not (host.knows_web_key or is_web),
        **{name: [str(topic.words) for topic in found] for name, found in sorted_topics(topics).items()},
    }


def sorted_topics(topics: tuple[Topic, ...]) -> dict[str, list[Topic]]:
    """What a host reads, what it changes, and what it does neither."""
    return {
        "reads": [topic for topic in topics if topic.has("SELECT")],
        "changes": [topic for topic in topics if topic.has("INSERT", "UPDATE")],
        "never": [topic for topic in topics if not any(RIGHTS[table] for table in topic.tables)],
    }


@require_safe
def host_access(request: HttpRequest, pk: int) -> HttpResponse:
    """What a host may read and change in the database."""
    host = lookups.host_to_operate(signed_in(request), pk)
    return render(request, "host_access.html", {"host": host, "access": of(host)})


@router.get("/hosts/{id:host_id}/access", response=HostAccessOut, summary="What a host may read and change (admins)")
def get_host_access(request: HttpRequest, host_id: int) -> dict[str, Any]:
    require_scope(request, "admin")
    return of(lookups.host_to_operate(signed_in(request), host_id))
