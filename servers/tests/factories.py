"""Hosts, blueprints and servers for tests, as the application would have made them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from accounts.models import User
from left4me.core import secrets
from left4me.testing.recorded_run import RecordedRun
from overlays.models import Overlay
from servers.gamehost.game import Version, Versions
from servers.lifecycle import pending_changes, runs
from servers.models import Blueprint, BlueprintOverlay, GameRun, Host, Server, ServerShare

_numbers = count(1)


def install_game(root: Path, *, build: str = "100", kind: str = "simulated") -> Version:
    """An installed version of the game below `root`, current as the newest; its tree holds nothing that runs."""
    versions = Versions(root / "game")
    versions.stage(watch=RecordedRun("game"))
    return versions.publish(
        kind=kind, build=build, now=datetime(2030, 1, 1, tzinfo=UTC) + timedelta(days=next(_numbers))
    )


def make_host(**fields: Any) -> Host:
    """The default host, or one named by `name`; kept when it is there (a migration makes the default one)."""
    name = fields.pop("name", "local")
    host, _ = Host.objects.update_or_create(name=name, defaults=fields)
    return host


def make_blueprint(owner: User, *, overlays: list[Overlay] | None = None, **fields: Any) -> Blueprint:
    """A blueprint whose stack is `overlays`, the topmost first."""
    blueprint = Blueprint.objects.create(owner=owner, **{"name": f"blueprint {next(_numbers)}", **fields})
    BlueprintOverlay.objects.bulk_create(
        BlueprintOverlay(blueprint=blueprint, overlay=overlay, position=position)
        for position, overlay in enumerate(overlays or [])
    )
    return blueprint


def make_server(owner: User, **fields: Any) -> Server:
    """A server at the next free port of its host; makes a blueprint where none is given."""
    host = fields.pop("host", None) or make_host()
    last = Server.objects.filter(host=host).order_by("-port").values_list("port", flat=True).first()
    given = {
        "name": f"server {next(_numbers)}",
        "port": (last + 1) if last else host.first_port,
        "rcon_password": secrets.new_password(),
        **fields,
    }
    given.setdefault("blueprint", None)
    given["blueprint"] = given["blueprint"] or make_blueprint(owner)
    return Server.objects.create(owner=owner, host=host, **given)


def share(server: Server, user: User, role: str = ServerShare.Role.VIEWER) -> ServerShare:
    return ServerShare.objects.create(server=server, user=user, role=role)


def make_run(server: Server, started_at: datetime, ended_well_at: datetime | None = None, **content: Any) -> GameRun:
    """A run that was started with what a start would use now, but for `content`."""
    applied = pending_changes.current(Server.objects.with_blueprint().get(pk=server.pk))
    return GameRun.objects.create(
        server=server,
        started_at=started_at,
        ended_well_at=ended_well_at,
        content=runs.content(server, applied, now=started_at) | content,
    )
