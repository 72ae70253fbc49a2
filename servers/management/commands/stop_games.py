from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from django.utils import timezone

from left4me.core.files import reserve
from servers.gamehost.port import Outcome, RuntimeFault, State
from servers.hosts import this_host
from servers.models import Server
from servers.state import state_log


class Command(BaseCommand):
    help = "Stop every game of this host, even without a worker, a database or room on the disk. They stay stopped."
    # They would read the database before anything is stopped.
    requires_migrations_checks = False

    def handle(self, *args: Any, **options: Any) -> None:
        runtime = this_host.runtime()
        observed = runtime.observe(this_host.storage().ids())
        running = [pk for pk, seen in observed.items() if seen.state is not State.STOPPED]
        reserve.give_up(settings.LEFT4ME_ROOT)
        names, unwritten, failed = self._names(), 0, []
        for pk in running:
            name = names.get(pk, f"server {pk}")
            # The desired state first, so that a running worker does not restart the game.
            unwritten += not self._write(lambda pk=pk: Server.objects.filter(pk=pk).update(desired_state="stopped"))
            try:
                outcome = runtime.stop(pk)
            except (RuntimeFault, OSError) as fault:
                failed.append(f"{name}: {fault}")
                continue
            self._write(lambda pk=pk: _record_stopped(pk))
            if outcome is not Outcome.ALREADY_STOPPED:
                self.stdout.write(f"stopped {name}")
        if unwritten:
            self.stderr.write("The database cannot be written: left4me will show these servers as wanted.")
        if failed:
            raise CommandError("; ".join(failed))

    def _names(self) -> dict[int, str]:
        # Few columns: this must also work after an update whose migrations have not run yet.
        try:
            return dict(Server.objects.on_host(settings.LEFT4ME_HOST).values_list("pk", "name"))
        except DatabaseError:
            return {}

    def _write(self, change: Any) -> bool:
        try:
            change()
        except (DatabaseError, OSError):
            return False
        return True


def _record_stopped(pk: int) -> None:
    server = Server.objects.filter(pk=pk).only("name", "actual_state", "actual_state_at").first()
    if server is not None:
        state_log.record_state(server, Server.State.STOPPED, now=timezone.now())
