"""Every limit on what one user can have: how to fill all but one place, and a request that takes one more.

`test_limits.py` and `bench/authz` send many of these requests at the same moment.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from django.conf import settings
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.models import ApiToken, SavedFilter, User
from left4me.alerts.models import Channel
from left4me.core import steam_ids
from left4me.core.web import undo
from left4me.schedules.models import Schedule
from left4me.status_pages.models import StatusPage
from livestate.bans.models import Ban, BanList
from livestate.bans.tests.factories import make_list
from livestate.models import PlayerNote
from livestate.tests.factories import make_session
from overlays.models import Overlay, OverlayWorkshopItem, Upload
from overlays.tests.factories import make_overlay
from servers.models import Blueprint, GamePerson, Host, Server
from servers.tests.factories import make_blueprint, make_host, make_server

_PLAYER = steam_ids.BASE + 1


@dataclass(frozen=True)
class Place:
    """What a user has: rows that requests name."""

    owner: User
    server: Server
    overlay: Overlay
    workshop: Overlay
    bans: BanList


Ask = Callable[[Client, Place, int], Any]


@dataclass(frozen=True)
class OnRows:
    """`ask(client, place, number)` adds a row of `model`; `constant` holds how many there can be."""

    name: str
    model: type
    ask: Ask
    constant: str = ""

    def lower(self, place: Place, set_value: Callable[[Any, str, Any], None]) -> None:
        """Set the limit so that one more row fits; `set_value(target, name, value)` undoes itself."""
        if self.constant:
            module, _, name = self.constant.rpartition(".")
            set_value(import_module(module), name, self.count() + 1)
        elif self.model is Server:
            host = place.server.host
            Host.objects.filter(pk=host.pk).update(last_port=host.first_port + 1)
        else:
            set_value(settings, "LEFT4ME_UPLOAD_QUOTA_MB", 1)
            Overlay.objects.filter(pk=place.overlay.pk).update(size_bytes=1_000_000 - 100)

    def count(self) -> int:
        return self.model.objects.count()  # type: ignore[attr-defined, no-any-return]


def _api(path: str, body: Callable[[Place, int], dict[str, Any]]) -> Ask:
    def ask(client: Client, place: Place, number: int) -> Any:
        address = path.format(server=place.server.pk, player=_PLAYER)
        return client.post(f"/api/v1{address}", json.dumps(body(place, number)), content_type="application/json")

    return ask


def _form(path: str, body: Callable[[Place, int], dict[str, Any]]) -> Ask:
    def ask(client: Client, place: Place, number: int) -> Any:
        return client.post(path.format(overlay=place.overlay.pk), body(place, number))

    return ask


def _begin_upload(client: Client, place: Place, number: int) -> Any:
    body = json.dumps({"name": f"{number}.txt", "size": 80})
    return client.post(f"/overlays/{place.overlay.pk}/uploads", body, content_type="application/json")


def _undo(kind: str, kept: Callable[[Place, int], dict[str, Any]]) -> Ask:
    """The Undo button of a deletion, as if the row had been deleted before the others came."""

    def ask(client: Client, place: Place, number: int) -> Any:
        button = undo.offer(kind, by=place.owner, **kept(place, number))
        assert button is not None
        return client.post(button.url)

    return ask


def _note(place: Place, number: int) -> dict[str, Any]:
    written = {"author_id": place.owner.pk, "created_at": timezone.now(), "changed_at": timezone.now()}
    return {"owner_id": place.owner.pk, "steam_id_64": _PLAYER, "text": f"n{number}", **written}


def _item(place: Place, number: int) -> dict[str, Any]:
    return {"overlay": place.workshop.pk, "links": [(number + 1, None, timezone.now())]}


def _schedule(place: Place, number: int) -> dict[str, Any]:
    return {"name": f"s{number}", "server_id": place.server.pk, "action": "restart", "cron": "0 5 * * *"}


def _alert(place: Place, number: int) -> dict[str, Any]:
    address = "https://discord.com/api/webhooks/1/abc"
    return {"name": f"a{number}", "kind": "discord", "address": address, "events": ["server_crashed"]}


LIMITS = [
    OnRows(
        "servers on the ports of a host",
        Server,
        _api("/servers", lambda place, n: {"name": f"x{n}", "blueprint_id": place.server.blueprint_id}),
    ),
    OnRows(
        "tokens",
        ApiToken,
        _form("/accounts/tokens/", lambda place, n: {"name": f"t{n}", "scope": "read", "days": 30}),
        "accounts.actions.MOST_TOKENS",
    ),
    OnRows(
        "saved filters",
        SavedFilter,
        _form("/filters", lambda place, n: {"place": "servers", "name": f"f{n}", "query": "state=running"}),
        "accounts.filters.MOST",
    ),
    OnRows("alert channels", Channel, _api("/alerts", _alert), "left4me.alerts.actions.MOST_CHANNELS"),
    OnRows("schedules", Schedule, _api("/schedules", _schedule), "left4me.schedules.actions.MOST_PER_USER"),
    OnRows(
        "status pages",
        StatusPage,
        _api("/status-pages", lambda place, n: {"title": f"p{n}", "server_ids": [place.server.pk]}),
        "left4me.status_pages.actions.MOST_PER_USER",
    ),
    OnRows(
        "blueprints",
        Blueprint,
        _api("/blueprints", lambda place, n: {"name": f"b{n}"}),
        "servers.actions.blueprints.MOST_BLUEPRINTS",
    ),
    OnRows(
        "overlays",
        Overlay,
        _api("/overlays", lambda place, n: {"name": f"o{n}", "kind": "files"}),
        "overlays.actions.MOST_OVERLAYS",
    ),
    OnRows(
        "ban lists",
        BanList,
        _api("/banlists", lambda place, n: {"name": f"l{n}"}),
        "livestate.bans.actions.MOST_LISTS",
    ),
    OnRows(
        "bans of a list",
        Ban,
        _api("/bans", lambda place, n: {"list_id": place.bans.pk, "target": str(_PLAYER + n)}),
        "livestate.bans.actions.MOST_BANS",
    ),
    OnRows(
        "notes about a player",
        PlayerNote,
        _api("/players/{player}/notes", lambda place, n: {"text": f"n{n}"}),
        "livestate.players.notes.MOST",
    ),
    OnRows("deleted notes about a player", PlayerNote, _undo("note", _note), "livestate.players.notes.MOST"),
    OnRows(
        "removed items of an overlay",
        OverlayWorkshopItem,
        _undo("overlay.items", _item),
        "overlays.workshop_items.membership.MOST_ITEMS",
    ),
    OnRows(
        "admins of a server",
        GamePerson,
        _api("/servers/{server}/admins", lambda place, n: {"person": str(_PLAYER + n)}),
        "servers.actions.game_access.MOST_PEOPLE",
    ),
    OnRows("uploads within the quota", Upload, _begin_upload),
]


def furnish(owner: User) -> Place:
    """A server with a visit, two overlays and a ban list of the user, on a host that has room."""
    server = make_server(owner, host=make_host(first_port=27015, last_port=27030), blueprint=make_blueprint(owner))
    make_session(server, 1, timezone.now())
    overlay = make_overlay(owner=owner, kind=Overlay.Kind.FILES)
    workshop = make_overlay(owner=owner, kind=Overlay.Kind.WORKSHOP)
    return Place(owner, server, overlay, workshop, make_list(owner))


def at_once(limit: OnRows, place: Place, *, threads: int) -> list[int]:
    """The statuses of as many requests, sent by the owner in as many threads at the same moment."""
    barrier = threading.Barrier(threads)

    def run(number: int) -> int:
        client = Client()
        client.force_login(place.owner)
        try:
            barrier.wait(timeout=60)
            return int(limit.ask(client, place, number).status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, range(threads)))
