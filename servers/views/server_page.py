"""The frame of a server's pages: the bar that stays, and the tabs. Apps above this one frame their tabs with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypedDict

from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.permissions import signed_in
from left4me.core.statements import Given, select
from left4me.core.web.ids import address
from servers.actions import interruptions
from servers.blueprints import versions
from servers.lifecycle import status as server_status
from servers.lifecycle import suspects
from servers.lifecycle.suspects import Suspects
from servers.models import BlueprintVersion, Server, StateChange
from servers.state import copies, criteria


@dataclass(frozen=True)
class Tab:
    code: str
    title: Promise
    address: str  # the name of its URL
    for_operators: bool = False
    for_editors: bool = False


OVERVIEW = "overview"
# A change of the blueprint that is older is not suspected of a failure.
_SUSPECT = timedelta(days=7)
TABS = (
    Tab(OVERVIEW, _("Overview"), "servers:detail"),
    Tab("console", _("Console"), "livestate:console"),
    Tab("players", _("Players"), "livestate:players"),
    Tab("maps", _("Maps"), "rotation:of_server"),
    Tab("matches", _("Matches"), "matches:of_server"),
    Tab("history", _("History"), "livestate:history"),
    Tab("files", _("Files"), "servers:files"),
    Tab("demos", _("Demos"), "demos:of_server"),
    Tab("admins", _("Admins"), "servers:admins", for_operators=True),
    Tab("plugins", _("Plugins"), "servers:plugins", for_operators=True),
    Tab("backups", _("Backups"), "backups:of_server", for_editors=True),
    Tab("schedules", _("Schedules"), "schedules:of_server", for_operators=True),
    Tab("settings", _("Settings"), "servers:edit", for_editors=True),
)


def frame(request: HttpRequest, server: Server, *, tab: str) -> dict[str, object]:
    """The context of `servers/server.html`, which every tab extends. Needs a row from `servers.lookups`."""
    user, now = signed_in(request), timezone.now()
    each = server_status.of([server], user=user, now=now, with_live=True)[0]
    has_reasons = tab == OVERVIEW
    crash = recent_crash(server, now) if has_reasons else None
    return {
        "server": server,
        "each": each,
        "live": each.live,
        "hold": interruptions.of(server),
        "tab": tab,
        "tabs": [(shown, address(shown.address, server.pk)) for shown in TABS if _may_open(shown, each)],
        "crash": crash,
        "copy": copies.of_server(server) if has_reasons and server.host.is_down(now) else None,
        **(after_failure(user, server, crash, now) if has_reasons and each.may_edit and _fails(server, crash) else {}),
    }


def address_of(server: Server, tab: str) -> str:
    """The address of a tab; of the overview for any other text."""
    chosen = next((each for each in TABS if each.code == tab), TABS[0])
    return address(chosen.address, server.pk)


_last_crash = select(lambda: StateChange.objects.filter(server_id=Given("server"), state__in=Server.ENDED_BADLY)[:1])


def recent_crash(server: Server, now: datetime) -> StateChange | None:
    """The crash that made the present state, or that of a running game within the last hour."""
    crash = _last_crash.first(server=server.pk)
    if crash is None:
        return None
    return crash if server.actual_state in Server.ENDED_BADLY or now - crash.at < criteria.CRASH_SHOWN else None


class AfterFailure(TypedDict):
    """The context of what may have caused a failure, and of the change that can be undone."""

    suspects: Suspects
    last_change: BlueprintVersion | None


def after_failure(user: User, server: Server, crash: StateChange | None, now: datetime) -> AfterFailure:
    """`crash` is what `recent_crash` returns."""
    found = suspects.of(server, user=user, now=now)
    return {"suspects": found, "last_change": _last_change(server, found, now) if _fails(server, crash) else None}


def _fails(server: Server, crash: StateChange | None) -> bool:
    return bool(server.last_error) or crash is not None


def _last_change(server: Server, found: Suspects, now: datetime) -> BlueprintVersion | None:
    """The recent change of its blueprint that may have caused a failure and can be undone."""
    change = versions.last_change(server.blueprint)
    if change is None or now - change[0].created_at > _SUSPECT:
        return None
    # The game has run well with it.
    is_innocent = found.good is not None and found.good.has_version(change[0])
    return None if is_innocent else change[0]


def _may_open(tab: Tab, each: server_status.ServerStatus) -> bool:
    return (each.may_edit or not tab.for_editors) and (each.may_operate or not tab.for_operators)
