"""The palette: one field that finds servers, what can be done with them, pages, players and jobs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from accounts.models import User
from accounts.permissions import signed_in
from left4me.jobs import operations, resources
from left4me.jobs.models import Job
from left4me.site import navigation
from livestate.models import SteamProfile
from livestate.players import records, search
from overlays.models import Overlay
from servers.lifecycle import status as server_status
from servers.lifecycle.status import ServerStatus
from servers.models import Blueprint, Server

_MOST_OF_A_KIND = 5
_MOST_ROWS = 60
_ICONS = {"start": "play", "stop": "square", "restart": "rotate-cw"}
# Pages that are not in the side bar: the name of the address, an icon, the title.
_MORE_PAGES = [
    ("servers:new", "plus", gettext_lazy("New server")),
    ("servers:blueprint_new", "plus", gettext_lazy("New blueprint")),
    ("overlays:new", "plus", gettext_lazy("New overlay")),
    ("accounts:profile", "user", gettext_lazy("Account")),
    ("accounts:sessions", "monitor-smartphone", gettext_lazy("Signed-in devices")),
    ("accounts:tokens", "key-round", gettext_lazy("API tokens")),
    ("alerts:channels", "bell", gettext_lazy("Alerts")),
    ("status_pages:list", "globe", gettext_lazy("Status pages")),
]


@dataclass(frozen=True, kw_only=True)
class Option:
    """An entry: a link, or with `operation` a request that is posted to `address`."""

    icon: str
    title: str | Promise
    address: str
    note: str | Promise = ""
    operation: str = ""


@dataclass(frozen=True)
class Group:
    title: str
    options: Sequence[Option]


@require_safe
def palette(request: HttpRequest) -> HttpResponse:
    """The entries that match `?q=` and that the visitor may open or do, as a fragment of the dialog."""
    typed = " ".join(request.GET.get("q", "")[:100].split())
    return render(request, "ui/palette_results.html", {"groups": groups(request, typed)})


def groups(request: HttpRequest, typed: str) -> list[Group]:
    """The entries by kind, the most likely kind first. Kinds without an entry are left out."""
    user = signed_in(request)
    statuses = _servers(user, _without_operation(typed))
    found = [
        Group(_("Servers"), [_server(each) for each in statuses]),
        Group(_("Actions"), list(_actions(statuses, typed))[:_MOST_OF_A_KIND]),
        Group(_("Pages"), list(_pages(user, typed))),
        Group(_("Blueprints and overlays"), list(_content(user, typed))),
        Group(_("Players"), list(_players(user, typed))),
        Group(_("Jobs"), list(_jobs(user, typed, statuses))),
    ]
    return [group for group in found if group.options]


def _servers(user: User, name: str) -> list[ServerStatus]:
    servers = Server.objects.visible_to(user).filter(name__icontains=name).listed().with_role(user)
    first = servers.needing_attention_first()[:_MOST_OF_A_KIND]
    return server_status.of(list(first), user=user, now=timezone.now())


def _server(status: ServerStatus) -> Option:
    server = status.server
    return Option(icon="server", title=server.name, note=status.label, address=server.get_absolute_url())


def _without_operation(typed: str) -> str:
    """“restart friday” looks for “friday”, and for what can be done with it."""
    first, _space, rest = typed.partition(" ")
    return rest if rest and any(_begins(title, first) for title in _operations().values()) else typed


def _operations() -> dict[str, str]:
    return {name: str(operations.get(name).title) for name in _ICONS}


def _actions(statuses: Sequence[ServerStatus], typed: str) -> Iterator[Option]:
    if not typed:
        return
    for status in statuses:
        for name, title in _operations().items():
            is_meant = typed == _without_operation(typed) or _begins(title, typed.partition(" ")[0])
            if name in status.actions and is_meant:
                address = reverse("servers:action", args=[status.server.pk])
                label = f"{title}: {status.server.name}"
                yield Option(icon=_ICONS[name], title=label, note=status.label, address=address, operation=name)


def _pages(user: User, typed: str) -> Iterator[Option]:
    for place, _is_current in navigation.Frame(is_admin=user.is_admin).places:
        if _contains(place.title, typed):
            yield Option(icon=place.icon, title=place.title, address=place.path)
    for name, icon, title in _MORE_PAGES:
        if typed and _contains(title, typed):
            yield Option(icon=icon, title=title, address=reverse(name))


def _content(user: User, typed: str) -> Iterator[Option]:
    if not typed:
        return
    for blueprint in Blueprint.objects.visible_to(user).filter(name__icontains=typed)[:_MOST_OF_A_KIND]:
        address = blueprint.get_absolute_url()
        yield Option(icon="drafting-compass", title=blueprint.name, note=_("Blueprint"), address=address)
    for overlay in Overlay.objects.visible_to(user).filter(name__icontains=typed)[:_MOST_OF_A_KIND]:
        yield Option(icon="layers", title=overlay.name, note=_("Overlay"), address=overlay.get_absolute_url())


def _players(user: User, typed: str) -> Iterator[Option]:
    """Players of servers that the user may see, by their present name, by that of a visit, or by Steam ID."""
    if len(typed) < 2:
        return
    rows = records.seen(user).filter(search.matching(typed)).order_by("-last_seen_at", "-online_since")[:_MOST_ROWS]
    latest: dict[int, str] = {}
    for row in rows:
        latest.setdefault(row.steam_id_64, row.name)
    shown = list(latest.items())[:_MOST_OF_A_KIND]
    profiles = SteamProfile.objects.in_bulk([steam_id for steam_id, _name in shown])
    for steam_id, name in shown:
        profile = profiles.get(steam_id)
        present = profile.persona_name if profile else ""
        note = name if present and present != name else ""
        address = reverse("livestate:player", args=[steam_id])
        yield Option(icon="user", title=present or name or str(steam_id), note=note, address=address)


def _jobs(user: User, typed: str, statuses: Sequence[ServerStatus]) -> Iterator[Option]:
    """Jobs that the user may see in the list: one by its number, or the latest on the servers that were found."""
    if not typed:
        return
    jobs = Job.objects.all() if user.is_admin else Job.objects.asked_by(user)
    number = re.fullmatch(r"#?(\d{1,18})", typed)
    on_servers = Q(resource__in=[status.server.resource for status in statuses])
    wanted = Q(pk=int(number[1])) if number else on_servers
    latest = list(jobs.filter(wanted).order_by("-pk")[:_MOST_OF_A_KIND])
    labels = resources.labels(job.resource for job in latest)
    for job in latest:
        label = labels.get(job.resource)
        title = f"#{job.pk} {job.title}" + (f": {label.name}" if label else "")
        yield Option(icon="list-checks", title=title, note=job.get_state_display(), address=job.get_absolute_url())


def _contains(title: str | Promise, typed: str) -> bool:
    return typed.casefold() in str(title).casefold()


def _begins(title: str, typed: str) -> bool:
    return bool(typed) and title.casefold().startswith(typed.casefold())
