"""Registers the operations on servers and on the game with the job engine: titles, locks, secrets."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from left4me.core import secrets
from left4me.jobs.context import JobContext
from left4me.jobs.operations import ALL, Body, Failed, Lock, RequestedJob, operation
from overlays.models import Overlay
from servers.hosts import installs, own_copies
from servers.lifecycle import lifecycle
from servers.models import BlueprintOverlay, Server

GAME = "game"


def _locks(job: RequestedJob) -> Iterable[Lock]:
    """The server exclusively; the game and its overlays shared, so that they do not change during the operation."""
    server_id = int(job.resource.partition(":")[2])
    yield Lock(job.resource, exclusive=True)
    yield Lock(GAME, exclusive=False)
    layers = BlueprintOverlay.objects.filter(blueprint__servers=server_id)
    if job.host != settings.LEFT4ME_HOST:
        # Other hosts mount copies that never change, so a build does not have to wait for a host that is down. Only
        # the first build of an overlay has to be awaited: until then there is nothing to copy.
        layers = layers.filter(overlay__built_at=None).exclude(overlay__kind=Overlay.Kind.FILES)
    for overlay_id in layers.values_list("overlay_id", flat=True):
        yield Lock(f"overlay:{overlay_id}", exclusive=False)


def _server_only(job: RequestedJob) -> Iterable[Lock]:
    """Ending a game needs only the server: it does not wait for an install or a build."""
    yield Lock(job.resource, exclusive=True)


def rcon_passwords(job: RequestedJob) -> Iterable[str]:
    """The RCON passwords, which must not appear in the job's log."""
    server = Server.objects.filter(pk=int(job.resource.partition(":")[2])).first()
    if server is None:
        return
    try:
        yield server.rcon_password
        yield server.live_rcon_password
    except secrets.Unreadable:
        return


def _on_server(body: Callable[[Server, JobContext], None]) -> Body:
    def run_body(run: JobContext) -> None:
        server = Server.objects.select_related("host", "blueprint").filter(pk=run.resource_id).first()
        if server is None:
            run.log("The server was deleted, or is on another host now; nothing to do.")
            return
        if server.host.name != run.host:
            # Requested in the moment in which it moved.
            raise Failed(f"The server is on host {server.host.name} now. Request this again.")
        body(server, run)

    return run_body


def _game_exclusively(job: RequestedJob) -> Iterable[Lock]:
    yield Lock(GAME, exclusive=True)


def _steam_password(job: RequestedJob) -> Iterable[str]:
    if settings.LEFT4ME_STEAM_PASSWORD:
        yield settings.LEFT4ME_STEAM_PASSWORD


def _register_game() -> None:
    for name, title, body in (
        ("install", _("Install or update game"), installs.install),
        ("rollback_game", _("Roll back game"), installs.roll_back),
        ("clean_game", _("Remove unused game versions"), installs.clean),
    ):
        operation(name, title=title, locks=_game_exclusively, idempotent=True, secrets=_steam_password)(body)


def register() -> None:
    """Called once when Django is ready."""
    _register_game()
    for name, title, body in (
        ("initialize", _("Verify files"), lifecycle.initialize),
        ("start", _("Start"), lifecycle.start),
    ):
        operation(name, title=title, locks=_locks, idempotent=True, secrets=rcon_passwords)(_on_server(body))
    operation(
        "restart", title=_("Restart"), locks=_locks, idempotent=True, supersedes=("start",), secrets=rcon_passwords
    )(_on_server(lifecycle.restart))
    operation(
        "stop",
        title=_("Stop"),
        locks=_server_only,
        idempotent=True,
        supersedes=("start", "restart", "initialize"),
        secrets=rcon_passwords,
    )(_on_server(lifecycle.stop))
    operation("restore", title=_("Restore"), locks=_server_only, idempotent=True, needs_change=True)(
        _on_server(lifecycle.restore)
    )
    operation(
        "kill", title=_("Force stop"), locks=_server_only, idempotent=True, supersedes=(ALL,), secrets=rcon_passwords
    )(_on_server(lifecycle.kill))
    for name, title, body in (
        ("use_originals", _("Use original files"), own_copies.use_originals),
        ("keep_copies", _("Keep own copies"), own_copies.keep),
        ("put_back_copies", _("Put back own copies"), own_copies.put_back),
    ):
        operation(name, title=title, locks=_locks, idempotent=True)(_on_server(body))
    operation(
        "delete",
        title=_("Delete"),
        locks=_server_only,
        idempotent=True,
        supersedes=(ALL,),
        final=True,
        needs_change=True,
        secrets=rcon_passwords,
    )(_on_server(lifecycle.delete))
