from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from servers.gamehost.port import Outcome, RuntimeFault, State
from servers.hosts import this_host
from servers.models import Server
from servers.state import state_log


class Command(BaseCommand):
    help = "Stop every game of this host, even without a worker. The servers then stay stopped."

    def handle(self, *args: Any, **options: Any) -> None:
        # Few columns: this must also work after an update whose migrations have not run yet.
        servers = list(Server.objects.on_host(settings.LEFT4ME_HOST).only("name", "actual_state", "actual_state_at"))
        observed = this_host.runtime().observe([server.pk for server in servers])
        failed = []
        for server in servers:
            if observed[server.pk].state is State.STOPPED:
                continue
            # The desired state first, so that a running worker does not restart the game.
            Server.objects.filter(pk=server.pk).update(desired_state=Server.Desired.STOPPED)
            try:
                outcome = this_host.runtime().stop(server.pk)
            except RuntimeFault as fault:
                failed.append(f"{server.name}: {fault}")
                continue
            state_log.record_state(server, Server.State.STOPPED, now=timezone.now())
            if outcome is not Outcome.ALREADY_STOPPED:
                self.stdout.write(f"stopped {server.name}")
        if failed:
            raise CommandError("; ".join(failed))
