"""The inventory of pages: every address of the URL conf, filled with objects of a furnished installation.

A new address is in it by itself. One whose parameters name objects that are not furnished yet fails the test of the
inventory until `furnish_all` makes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.http.response import HttpResponseBase
from django.test import Client

from accounts import secrets
from accounts.models import ApiToken, OneTimeLink, User
from accounts.models.links import Purpose
from left4me.alerts.models import Channel
from left4me.audit import record
from left4me.importer.tests.factories import make_import
from left4me.jobs.models import Job
from left4me.schedules.models import Run
from left4me.status_pages.models import StatusPage
from left4me.testing import smx_files, vpk_files
from left4me.testing.routes import Route, all_routes
from left4me.tests.test_urls import PUBLIC
from left4me.tests.world import furnish
from livestate.models import Order
from overlays.files import archive_plans, archives, trash
from overlays.models import Overlay, OverlayCollection, OverlayContents, OverlayScript, Upload
from overlays.tests.factories import make_overlay
from servers import actions
from servers.actions import blueprints
from servers.models import Blueprint, DeletedServer, GamePerson, Host, PlayersLink, Server, ServerShare, StateChange
from servers.tests.factories import make_run, make_server
from workshop import inspection

# Addresses whose pages are not made of our templates.
FOREIGN = ("/admin/", "/api/v1/")
# What a page shows differs by its query.
QUERIES = {
    "dashboard": ["", "?q=nothing"],
    "servers:list": ["", "?q=nothing+has+this+name"],
    "jobs:index": ["", "?state=failed"],
    "audit:entries": ["", "?who=nobody"],
    "overlays:items": ["", "?q=nothing+has+this+name"],
    "overlays:files": ["", "?at=left4dead2/cfg"],
    "overlays:edit_file": ["?path=left4dead2/cfg/server.cfg"],
    "overlays:download_file": ["?path=left4dead2/cfg/server.cfg"],
    "servers:plugin_settings": ["?file=heal.cfg"],
    "livestate:history": ["", "?days=7"],
    "livestate:player_list": ["", "?show=noted", "?q=nothing+has+this+name"],
}
_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")


@dataclass(frozen=True)
class Address:
    route: Route
    path: str

    @property
    def area(self) -> str:
        """The app whose page it is."""
        return self.route.name.partition(":")[0] if ":" in self.route.name else "site"


def addresses(things: dict[str, Any]) -> Iterator[Address]:
    """Every address of the application's own pages that the furnished objects fill."""
    for route in all_routes():
        if route.pattern.startswith(FOREIGN) and route.name not in {"api:openapi-view", "admin:index"}:
            continue
        path = _fill(route, things)
        for query in QUERIES.get(route.name, [""]):
            query += ("&" if query else "?") + things["query"][route.name] if route.name in things["query"] else ""
            yield Address(route, path + query)


def _fill(route: Route, things: dict[str, Any]) -> str:
    """The address with each parameter replaced: by the route's own objects, or by the word before it or its name."""
    given = things.get(route.name, {})

    def value(match: re.Match[str]) -> str:
        name = match[1]
        before = route.pattern[: match.start()].rstrip("/").rpartition("/")[2]
        return str(given.get(name) or things.get(name) or things.get(before) or 1)

    return _PARAMETER.sub(value, route.pattern)


def is_page(response: HttpResponseBase) -> bool:
    if response.streaming:
        # Read to its end, a download closes its file.
        list(response)
    if response.status_code != 200 or response.streaming:
        return False
    return response.content.lstrip()[:20].lower().startswith(b"<!doctype html>")  # type: ignore[attr-defined]


def pages(client: Client, things: dict[str, Any], area: str, *, is_signed_in: bool) -> list[str]:
    """The paths of an app that answer whoever `client` has signed in with a page; without a user, the public ones."""
    return [
        each.path
        for each in addresses(things)
        if each.area == area and (is_signed_in or each.route.name in PUBLIC) and is_page(client.get(each.path))
    ]


def furnish_all(owner: User, friend: User, now: datetime) -> dict[str, Any]:
    """An installation in use, with an object for each parameter of each address; by the words of the addresses."""
    things: dict[str, Any] = dict(furnish(owner, friend, now))
    server = Server.objects.get(pk=things["servers"])
    files, script = _overlays(owner, things["overlays"], now)
    upload = _upload(files, owner, now)
    places = [("left4dead2", "addons", "last year"), ("left4dead2", "cfg", "old.cfg")]
    trash.delete(overlay=files, places=places, by=owner, now=now)
    _edit(server.blueprint, owner)
    _delete_one(server, now)
    person, entry = _admins(server, owner, friend, now)
    ApiToken.objects.create(user=owner, name="Discord bot", digest="1", hint="l4m_abcd", last_used_at=now)
    for action, target in (("server.start", server.resource), ("overlay.update", files.resource), ("user.create", "")):
        record.write(action=action, by=owner, target=target, name=server.name)
    of_files = {"pk": files.pk, "upload_id": upload.pk}
    return things | {
        "versions": 1,
        "share_pk": ServerShare.objects.get().pk,
        "order_pk": _orders(server, owner, now).pk,
        "person_pk": person.pk,
        "entry_pk": entry.pk,
        "imports": make_import(owner).pk,
        "doors": "steam",
        "run_pk": Run.objects.get(schedule=None, bulk=None).pk,
        "join": PlayersLink.objects.create(server=server).token,
        "invitation": _link(Purpose.INVITATION, owner, now, note="for Zoey"),
        "new-password": _link(Purpose.PASSWORD, owner, now, user=friend),
        "slug": StatusPage.objects.get(pk=things["status-pages"]).slug,
        "status_pages:join": {"pk": server.pk},
        "backups:of_overlay": of_files,
        "overlays:files": of_files,
        "overlays:edit_file": of_files,
        "overlays:deleted_files": of_files,
        "overlays:download_file": of_files,
        "overlays:archive_plan": of_files,
        "overlays:plugins": of_files,
        "overlays:script": {"pk": script.pk},
        "query": {"overlays:conflicts": f"overlay={files.pk}&overlay={script.pk}"},
    }


def furnish_bare(owner: User, friend: User, now: datetime) -> dict[str, Any]:
    """One object of each kind as it is right after its creation, without history and content."""
    server = make_server(owner, name="Bare")
    kinds = {kind: make_overlay(name=f"Bare {kind}", kind=kind) for kind in Overlay.Kind}
    of_files = {"pk": kinds[Overlay.Kind.FILES].pk}
    return {
        "servers": server.pk,
        "hosts": server.host_id,
        "blueprints": server.blueprint_id,
        "overlays": kinds[Overlay.Kind.WORKSHOP].pk,
        "users": owner.pk,
        "join": PlayersLink.objects.create(server=server).token,
        "overlays:files": of_files,
        "overlays:deleted_files": of_files,
        "overlays:plugins": of_files,
        "overlays:script": {"pk": kinds[Overlay.Kind.SCRIPT].pk},
        "query": {"overlays:conflicts": f"overlay={of_files['pk']}"},
    }


def furnish_spoiled(owner: User, friend: User, now: datetime) -> dict[str, Any]:
    """The same installation on a bad day, with the objects that are worst off."""
    things = furnish_all(owner, friend, now)
    Host.objects.update(last_seen_at=now - timedelta(hours=1))
    failed = Job.objects.filter(state=Job.State.FAILED).get()
    crashed = Server.objects.get(actual_state=Server.State.GAVE_UP)
    _crash(crashed, now)
    return things | {
        "servers": crashed.pk,
        "jobs": failed.pk,
        "alerts": Channel.objects.exclude(last_error="").get().pk,
    }


def _overlays(owner: User, followed: int, now: datetime) -> tuple[Overlay, Overlay]:
    """A files overlay with files on the disk and a script overlay, which share a file."""
    files = make_overlay(name="Our own config", kind=Overlay.Kind.FILES, owner=owner, built_at=now, expose_cfg=True)
    script = make_overlay(name="Metamod", kind=Overlay.Kind.SCRIPT, built_at=now, programs={"addons/mm.so": "ab12"})
    OverlayScript.objects.create(overlay=script, text="#!/bin/sh\nset -e\nmkdir -p left4dead2/cfg\n")
    OverlayCollection.objects.create(overlay_id=followed, steam_id=2_900_000_001, title="Friday's collection")
    root = settings.LEFT4ME_ROOT / "overlays" / files.path
    for path, text in {
        "cfg/server.cfg": "sv_alltalk 1\n",
        "cfg/banned.cfg": "",
        "motd.txt": "Hello <b>you</b>",
        "cfg/old.cfg": "sv_alltalk 0\n",
        "addons/last year/readme.txt": "Maps of last year",
    }.items():
        (root / "left4dead2" / path).parent.mkdir(parents=True, exist_ok=True)
        (root / "left4dead2" / path).write_text(text)
    for name, content in {
        "heal.smx": smx_files.plugin("Heal", description="Heals."),
        "disabled/bad.smx": b"x",
    }.items():
        (root / "left4dead2/addons/sourcemod/plugins" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "left4dead2/addons/sourcemod/plugins" / name).write_bytes(content)
    vpk_files.write(root / "left4dead2/addons/a-campaign-whose-file-has-quite-a-long-name.vpk", {"maps/x.bsp": b"x"})
    packed = inspection.pack_paths(["left4dead2/cfg/server.cfg", "left4dead2/motd.txt"])
    for overlay in (files, script):
        OverlayContents.objects.create(
            overlay=overlay, packed_paths=packed, packed_game_paths=inspection.pack_paths(["left4dead2/motd.txt"])
        )
    return files, script


def _upload(files: Overlay, owner: User, now: datetime) -> Upload:
    """An archive that has been read and waits for its plan to be applied."""
    upload = Upload.objects.create(overlay=files, user=owner, path="pack.zip", size=9, unpack=True, ready_at=now)
    names = ["Pack/Easy/cfg/server.cfg", "Pack/Hard/cfg/server.cfg", "Pack/README.md", "Pack/bin/engine.so"]
    archive_plans.store(upload, archives.Index(names, [4, 4, 1_200, 90_000], frozenset()))
    return upload


def _orders(server: Server, owner: User, now: datetime) -> Order:
    for number, (state, _label) in enumerate(Order.State.choices):
        order = Order.objects.create(
            server=server,
            user=owner,
            kind=Order.Kind.COMMAND,
            value="status" if number % 2 else "sm_cvar sv_cheats 0; exec a_config_with_a_long_name.cfg",
            state=state,
            output="hostname: Friday versus\n# userid name uniqueid connected ping loss state rate adr\n" * 2,
            created_at=now - timedelta(seconds=number),
            finished_at=now,
        )
    return order


def _edit(blueprint: Blueprint, owner: User) -> None:
    lines = ["sv_alltalk 0", "sv_consistency 0", f'hostname "{{name}} {"long " * 15}#{{n}}"', "sm_cvar sv_region 3"]
    for text in ("sv_alltalk 1", "\n".join(lines)):
        blueprints.update_blueprint(
            blueprint=blueprint, seen_version=blueprint.version, by=owner, config=text, motd="Hello <b>you</b>"
        )
        blueprint.refresh_from_db()


def _admins(server: Server, owner: User, friend: User, now: datetime) -> tuple[GamePerson, GamePerson]:
    """A person on the list of the server and one on that of its blueprint, besides others and some rules."""
    actions.set_person(of=server, person=friend.username, role="moderator", immunity=20, by=owner)
    actions.set_rules(of=server, by=owner, whitelist=True, reserved_slots=2)
    person = actions.set_person(
        of=server,
        person="STEAM_1:0:11101",
        name="a name as long as anybody would have in the game, and then some",
        role="custom",
        flags="bcdefgk",
        until=now + timedelta(days=30),
        by=owner,
    )
    return person, actions.set_person(of=server.blueprint, person="76561197960265731", name="Zoë", by=owner)


def _crash(server: Server, now: datetime) -> None:
    """A crash after a change of everything."""
    before = {"config": ["sv_alltalk 0"], "game_version": "20300101T000000-99", "blueprint_version": 1}
    make_run(server, now - timedelta(days=2), now - timedelta(days=1), **before)
    make_run(server, now - timedelta(minutes=9))
    lines = ["Executing dedicated server config file server.cfg", "x" * 200, "Segmentation fault (core dumped)"]
    detail = "It crashed 5 times within 10 minutes (last exit: signal 11, segmentation fault)."
    StateChange.objects.create(server=server, at=now, state=server.actual_state, detail=detail, last_lines=lines)


def _delete_one(server: Server, now: datetime) -> None:
    gone = make_server(server.owner, name="Last year's server", host=server.host, blueprint=server.blueprint)
    DeletedServer.remember(gone, now=now)
    gone.delete()


def _link(purpose: Purpose, owner: User, now: datetime, **fields: Any) -> str:
    raw = secrets.new()
    OneTimeLink.objects.create(
        purpose=purpose,
        digest=secrets.digest(raw),
        created_by=owner,
        expires_at=now + timedelta(days=1),
        **fields,
    )
    return raw
