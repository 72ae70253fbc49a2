"""One object of each kind that an address can name, all of one owner, for the tests of permissions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.utils import timezone

from accounts import secrets
from accounts.models import ApiToken, Identity, OneTimeLink, SavedFilter, Session, User
from accounts.models.links import Purpose
from accounts.tests.factories import make_passkey
from left4me.alerts.tests.factories import make_channel
from left4me.backups.tests.factories import make_backup
from left4me.core.steam_ids import BASE as STEAM_ID_64_BASE
from left4me.importer.tests.factories import make_import
from left4me.jobs.models import Job
from left4me.schedules.models import BulkAction, Run
from left4me.schedules.tests.factories import make_schedule
from left4me.status_pages.models import StatusMessage
from left4me.status_pages.tests.factories import make_page
from left4me.tests.permission_table import overlay_kind
from livestate.bans.tests.factories import make_ban, make_list
from livestate.demos.tests.factories import make_demo
from livestate.matches.tests.factories import make_match
from livestate.models import Order
from livestate.tests.factories import make_note, make_session
from overlays import paths
from overlays.files import trash
from overlays.models import DeletedFile, Overlay, OverlayAddon, OverlayCollection, OverlayWorkshopItem, Upload
from overlays.tests.factories import make_overlay
from servers.blueprints import versions
from servers.models import BlueprintVersion, DeletedServer, GamePerson, PlayersLink, Server, ServerShare
from servers.tests.factories import make_blueprint, make_host, make_server, share
from workshop.models import WorkshopItem

# Of no row. Of the addresses that name something by a word, the same stands for a word that nobody has.
MISSING = 10**15


@dataclass
class World:
    """The ids of the objects, by the word before them in an address or by the name of the parameter."""

    ids: dict[str, Any]

    def address(self, pattern: str, *, place: str, missing: str = "", other: World | None = None) -> str:
        """The pattern filled in; `place` says whose overlay is meant: private, or of the catalog.

        The parameter `missing` names an object that is not there. With `other`, all parameters but the first name
        objects of that world.
        """
        first_kind = re.search(r"/([\w-]+)/<", pattern)
        names = re.findall(r"<(?:\w+:)?(\w+)>", pattern)
        path = pattern
        for position, name in enumerate(names):
            world = other if other is not None and position else self
            kind = first_kind[1] if first_kind and not position else ""
            value = MISSING if name == missing else world._id(pattern, kind, name, place=place)
            path = re.sub(rf"<(?:\w+:)?{name}>", str(value), path, count=1)
        if pattern == "/overlays/conflicts":
            path += f"?overlay={self.ids[place]}"
        return path

    def put_back_files(self) -> None:
        """Make again what a request removed: the database is rolled back, files are not.

        Something else is at the place of each deleted file: a restore must be allowed to, not to succeed.
        """
        for place in ("private", "catalog"):
            overlay = Overlay.objects.get(pk=self.ids[f"{place}_files"])
            deleted, directory = trash.directory() / str(self.ids[f"{place}_deleted_id"]), paths.directory(overlay)
            for file in (deleted, directory / "a", directory / "left4dead2" / "cfg" / "mine.cfg"):
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch()

    def _id(self, pattern: str, kind: str, name: str, *, place: str) -> Any:
        if kind == "overlays":
            return self.ids[place + overlay_kind(pattern)]
        if name in {"upload_id", "deleted_id", "addon_id", "steam_id"}:
            return self.ids[f"{place}_{name}"]
        if name == "backup_id" and pattern.startswith(("/overlays/", "/api/v1/overlays/")):
            return self.ids[f"{place}_backup"]
        return self.ids[kind] if kind in self.ids else self.ids[name]


def furnish(owner: User, *, viewer: User, operator: User, catalog: dict[str, Any] | None = None) -> World:
    """The world of an owner, whose server is shared. Give the second world the `catalog` of the first."""
    # A silent host refuses at once what only it could answer.
    host = make_host(last_seen_at=None, facts={"backup": {"keep": 7}})
    shared = catalog or _overlays(None)
    private = {name.replace("catalog", "private"): pk for name, pk in _overlays(owner).items()}
    layers = [Overlay.objects.get(pk=private["private"]), Overlay.objects.get(pk=shared["catalog"])]
    server = make_server(owner, host=host, blueprint=make_blueprint(owner, overlays=layers))
    others_list = make_list(operator, is_shared=True)
    ids = {"hosts": host.pk, "shared_list": others_list.pk, **shared, **private}
    ids |= _of_server(server, viewer, operator)
    world = World({**ids, **_of_blueprint(server), **_of_user(owner, server), **_of_account(owner, server)})
    world.put_back_files()
    return world


def _overlays(owner: User | None) -> dict[str, Any]:
    """An overlay of workshop items, one of files with an upload and a backup, and one of a script."""
    workshop = make_overlay(owner=owner, kind=Overlay.Kind.WORKSHOP)
    item, _is_new = WorkshopItem.objects.get_or_create(steam_id=7 + (owner.pk if owner else 0))
    OverlayWorkshopItem.objects.create(overlay=workshop, item=item)
    files = make_overlay(owner=owner)
    user = owner or User.objects.order_by("pk").first()
    upload = Upload.objects.create(overlay=files, user=user, path="a", size=1, unpack=True)
    addon = OverlayAddon.objects.create(overlay=workshop, path="left4dead2/addons/a.vpk", is_valid=True)
    collection = OverlayCollection.objects.create(overlay=workshop, steam_id=8)
    return {
        "catalog": workshop.pk,
        "catalog_files": files.pk,
        "catalog_script": make_overlay(kind=Overlay.Kind.SCRIPT).pk,
        "catalog_upload_id": upload.pk,
        "catalog_deleted_id": DeletedFile.objects.create(overlay=files, path="a", deleted_at=timezone.now()).pk,
        "catalog_addon_id": addon.pk,
        "catalog_backup": make_backup(files).pk,
        "collection_id": collection.pk,
        "catalog_steam_id": item.steam_id,
    }


def _of_server(server: Server, viewer: User, operator: User) -> dict[str, Any]:
    now, owner = timezone.now(), server.owner
    share(server, viewer)
    lent = share(server, operator, ServerShare.Role.OPERATOR)
    player = STEAM_ID_64_BASE + owner.pk
    person = GamePerson.objects.create(server=server, steam_id=player)
    order = Order.objects.create(server=server, user=owner, kind="command", value="x", created_at=now)
    run = Run.objects.create(server=server, user=owner, action="restart", due_at=now)
    make_session(server, account=owner.pk, joined_at=now)
    match = make_match(server, state="waiting")
    match.players.create(steam_id_64=player)
    note = make_note(owner.pk, owner)
    demo = make_demo(server, now)
    return {
        "servers": server.pk,
        "port": server.port,
        "share_pk": lent.pk,
        "share_id": lent.pk,
        "person_pk": person.pk,
        "person_id": person.pk,
        "order_pk": order.pk,
        "order_id": order.pk,
        "run_pk": run.pk,
        "backup_id": make_backup(server).pk,
        "demo_pk": demo.pk,
        "demo_id": demo.pk,
        "players": player,
        "matches": match.pk,
        "notes": note.pk,
        "token": PlayersLink.objects.create(server=server).token,
    }


def _of_blueprint(server: Server) -> dict[str, Any]:
    blueprint = server.blueprint
    entry = GamePerson.objects.create(blueprint=blueprint, steam_id=STEAM_ID_64_BASE + 1)
    content = versions.content(blueprint, [])
    version = BlueprintVersion.objects.create(blueprint=blueprint, number=1, content=content)
    return {
        "blueprints": blueprint.pk,
        "other_blueprint": make_blueprint(blueprint.owner).pk,
        "entry_pk": entry.pk,
        "entry_id": entry.pk,
        "number": version.number,
    }


def _of_user(owner: User, server: Server) -> dict[str, Any]:
    """What a user has that other users have no part in."""
    bans = make_list(owner, is_default=True)
    page = make_page(owner, server)
    channel = make_channel(owner, "https://discord.com/api/webhooks/1/abc", kind="discord")
    StatusMessage.objects.create(channel=channel, page=page)
    bulk = BulkAction.objects.create(user=owner, origin="selection", action="restart")
    now = timezone.now()
    job = Job.objects.create(
        user=owner, operation="stop", resource=server.resource, host="local", state="cancelled", finished_at=now
    )
    gone = make_server(owner, host=server.host, blueprint=server.blueprint)
    DeletedServer.remember(gone, now=now)
    gone_id = gone.pk
    gone.delete()
    return {
        "bans": make_ban(bans).pk,
        "banlists": bans.pk,
        "own_list": make_list(owner).pk,
        "alerts": channel.pk,
        "schedules": make_schedule(owner, after=now, server=server).pk,
        "bulk": bulk.pk,
        "status-pages": page.pk,
        "status": page.slug,
        "slug": page.slug,
        "jobs": job.pk,
        "imports": make_import(owner).pk,
        "deleted": gone_id,
    }


def _of_account(owner: User, server: Server) -> dict[str, Any]:
    now = timezone.now()
    later = now + timedelta(days=1)
    digest = secrets.digest(f"session of {owner.pk}")
    session = Session.objects.create(digest=digest, user=owner, data="", expires_at=later)
    token = ApiToken.objects.create(user=owner, name="t", digest=f"digest of {owner.pk}", hint="l4m_abcd")
    kept = SavedFilter.objects.create(user=owner, place="servers", name="Mine", query="state=running")

    def link(purpose: Purpose, **fields: Any) -> tuple[int, str]:
        raw = secrets.new()
        digest = secrets.digest(raw)
        row = OneTimeLink.objects.create(purpose=purpose, digest=digest, created_by=owner, expires_at=later, **fields)
        return row.pk, raw

    invitation, secret = link(Purpose.INVITATION)
    return {
        "sessions": session.pk,
        "tokens": token.pk,
        "identities": Identity.objects.create(user=owner, door="oidc", issuer="x", subject=str(owner.pk)).pk,
        "doors": "steam",
        "file": "rotation.cfg",
        "passkeys": make_passkey(owner).pk,
        "filters": kept.pk,
        "users": owner.pk,
        "username": owner.username,
        "invitations": invitation,
        "invitation": secret,
        "new-password": link(Purpose.PASSWORD, user=owner)[1],
        "undo": "x",
        "pk": server.pk,
    }
