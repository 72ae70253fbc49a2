"""An installation of one size, for bench/growth: a busy server, many quiet ones, few of them with work.

At size 1 there are 10 servers with 10,000 visits of the last 30 days; everything grows in proportion. The first server
has a tenth of all rows of its kind at every size, the others share the rest, so what lists the rows of one server
without a bound shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from django.db.models import Model

from accounts.models import User
from bench import growth_history
from bench.growth_rows import FIRST_ACCOUNT, Rows
from left4me.alerts.models import Channel
from left4me.backups.models import Backup
from left4me.jobs.models import Job
from left4me.schedules.models import Schedule
from left4me.status_pages.models import StatusPage
from livestate.bans.models import BanList
from livestate.matches.models import Match
from livestate.rotation.models import MapState, Rotation
from overlays.models import Overlay, OverlayWorkshopItem
from servers.blueprints import versions
from servers.models import (
    Blueprint,
    BlueprintOverlay,
    BlueprintVersion,
    DeletedServer,
    Host,
    Server,
    ServerShare,
)
from workshop.models import WorkshopItem

PASSWORD = "growth"


@dataclass(frozen=True)
class Installation:
    """What works are about: the owner of the busy server, an admin, and rows of both."""

    factor: int
    host: Host
    owner: User
    admin: User
    busy: Server
    quiet: Server
    overlay: Overlay
    channel: Channel
    schedule: Schedule
    page: StatusPage
    account: int
    job: int
    ban_list: BanList
    match: int


def fill(factor: int, *, ports: Sequence[int]) -> Installation:
    """Make the rows. Each server gets one of `ports`."""
    rows = Rows(factor)
    installation = _furnish(rows, ports)
    growth_history.write_history(rows)
    growth_history.write_jobs(rows)
    growth_history.write_people(rows)
    growth_history.write_the_rest(rows)
    return replace(installation, job=_oldest(Job), match=_oldest(Match))


def _oldest(model: type[Model]) -> int:
    # Not 1 in a database that had rows before.
    return int(model._default_manager.order_by("pk").values_list("pk", flat=True)[0])


def _furnish(rows: Rows, ports: Sequence[int]) -> Installation:
    now = rows.now
    # The second one is an admin.
    users = User.objects.bulk_create(
        User(username=f"person{number}", is_admin=number == 1, created_at=now) for number in range(rows.users)
    )
    owner, admin = users[0], users[1]
    rows.first_user = owner.pk
    Host.objects.update(last_seen_at=now, first_port=1024, last_port=65535)
    rows.host = host = Host.objects.get()
    catalog = Overlay.objects.bulk_create(
        Overlay(name=f"catalog {number}", path=f"catalog-{number}", built_at=now, is_inspected=True)
        for number in range(5)
    )
    # The owner of the busy server has every second one.
    owners = [owner if number % 2 == 0 else users[number % rows.users] for number in range(rows.servers)]
    overlays = Overlay.objects.bulk_create(
        Overlay(name=f"overlay {n}", path=f"own-{n}", owner=who, built_at=now, is_inspected=True)
        for n, who in enumerate(owners)
    )
    blueprints = Blueprint.objects.bulk_create(
        Blueprint(owner=who, name=f"blueprint {n}", config="sv_pure 2") for n, who in enumerate(owners)
    )
    BlueprintOverlay.objects.bulk_create(
        BlueprintOverlay(blueprint=blueprint, overlay=overlay, position=position)
        for blueprint, own in zip(blueprints, overlays, strict=True)
        for position, overlay in enumerate([own, *catalog])
    )
    BlueprintVersion.objects.bulk_create(
        BlueprintVersion(
            blueprint=blueprint, number=number, user=blueprint.owner, content=versions.content(blueprint, catalog)
        )
        for blueprint in blueprints
        for number in range(1, 6)
    )
    sealed = Server(rcon_password=PASSWORD).sealed_rcon_password
    servers = Server.objects.bulk_create(
        Server(
            owner=who,
            name=f"server {n}",
            host=host,
            port=port,
            number=n + 1,
            blueprint=blueprint,
            sealed_rcon_password=sealed,
            actual_state=Server.State.STOPPED if n % 5 == 4 else Server.State.RUNNING,
            desired_state=Server.Desired.STOPPED if n % 5 == 4 else Server.Desired.RUNNING,
            actual_state_at=now,
            started_at=None if n % 5 == 4 else now - timedelta(days=1),
        )
        for n, (who, blueprint, port) in enumerate(zip(owners, blueprints, ports, strict=True))
    )
    rows.first_server = servers[0].pk
    ServerShare.objects.bulk_create(
        ServerShare(server=server, user=users[(n + 3) % rows.users], role="operator")
        for n, server in enumerate(servers)
        if users[(n + 3) % rows.users] != owners[n]
    )
    channels = Channel.objects.bulk_create(
        Channel(user=who, name="chat", kind="webhook", address="https://alerts.example.org/x", events=["job_failed"])
        for who in users[: 5 * rows.factor]
    )
    schedules = Schedule.objects.bulk_create(
        Schedule(owner=who, name=f"nightly {n}", server=server, cron="0 5 * * *", is_enabled=True)
        for n, (who, server) in enumerate(zip(owners, servers, strict=True))
    )
    Schedule.objects.update(next_at=now + timedelta(hours=5), plan_at=now + timedelta(hours=5))
    rows.first_schedule = schedules[0].pk
    ban_lists = BanList.objects.bulk_create(
        BanList(owner=who, name=f"list {n}", is_shared=n % 2 == 0) for n, who in enumerate(users)
    )
    rows.first_list = ban_lists[0].pk
    rows.first_channel = channels[0].pk
    page = StatusPage(owner=owner, title="Status", slug="growth", is_enabled=True)
    page.save()
    page.servers.set(servers[:10:2])
    Rotation.objects.bulk_create(
        Rotation(server=server, entries=[{"kind": "map", "map": "c1m1_hotel"}, {"kind": "map", "map": "c2m1_highway"}])
        for server in servers[::5]
    )
    MapState.objects.bulk_create(MapState(server=server) for server in servers[::5])
    Backup.objects.bulk_create(
        Backup(server=server, owner=server.owner, host=host.name, size=10**6, finished_at=now, created_at=now)
        for server in servers
        for _number in range(7)
    )
    DeletedServer.objects.bulk_create(
        DeletedServer(server_id=10**6 + n, owner=who, name=f"gone {n}", host=host, port=30_000, deleted_at=now)
        for n, who in enumerate(owners)
    )
    items = WorkshopItem.objects.bulk_create(
        WorkshopItem(steam_id=n + 1, title=f"item {n}", filename=f"{n}.vpk", file_size=10**6, refreshed_at=now)
        for n in range(5 * rows.servers)
    )
    # Five of each overlay; the workshop overlay of the busy one is as large as all of them.
    OverlayWorkshopItem.objects.bulk_create(
        OverlayWorkshopItem(overlay=overlays[n // 5], item=item) for n, item in enumerate(items)
    )
    rows.jobs_count = 1_000
    return Installation(
        *(rows.factor, host, owner, admin, servers[0], servers[2], overlays[0], channels[0], schedules[0]),
        # The job and the match are written later.
        *(page, FIRST_ACCOUNT, 0, ban_lists[0], 0),
    )
