from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand

from left4me.jobs import actions as jobs
from left4me.jobs.models import Job
from overlays import builds, paths
from overlays.models import Overlay
from servers import actions
from servers.hosts import this_host
from servers.models import Server


class Command(BaseCommand):
    help = "Queue jobs for what backups leave out (game, workshop files), then start the servers that should run."

    def handle(self, *args: Any, **options: Any) -> None:
        host = this_host.row()
        # Whatever ran when the backup was made runs no more, and neither does what was about to.
        if not this_host.game_version():
            self._ask("the game", lambda: actions.request_on_host(host=host, operation="install", by=None))
        for overlay in Overlay.objects.exclude(kind=Overlay.Kind.FILES):
            if overlay.kind == Overlay.Kind.WORKSHOP or not paths.directory(overlay).is_dir():
                self._ask(f"overlay “{overlay}”", self._build(overlay))
        # Jobs on the same resources run in the order of their requests: starts wait for the game and the overlays.
        for server in Server.objects.on_host(host.name).filter(desired_state=Server.Desired.RUNNING):
            self._ask(f"server “{server}”", self._start(server))

    def _build(self, overlay: Overlay) -> Callable[[], Job]:
        return lambda: builds.request(overlay=overlay, by=None)

    def _start(self, server: Server) -> Callable[[], Job]:
        return lambda: actions.request(server=server, operation="start", by=None)

    def _ask(self, what: str, request: Callable[[], Job]) -> None:
        try:
            job = request()
        except jobs.Refused as refusal:
            self.stdout.write(f"{what}: {refusal}")
        else:
            self.stdout.write(f"{what}: job {job.pk}, {job.operation}")
