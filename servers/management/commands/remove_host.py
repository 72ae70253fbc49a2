"""Remove a host."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from servers import actions
from servers.models import Host


class Command(BaseCommand):
    help = "Remove a host without servers, its token and its queued jobs."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")

    def handle(self, *args: Any, name: str, **options: Any) -> None:
        host = Host.objects.filter(name=name).first()
        if host is None:
            self.stderr.write(f"There is no host named {name}.")
            return
        try:
            actions.remove_host(host=host, by=None)
        except actions.Refused as fault:
            raise CommandError(str(fault)) from fault
        self.stdout.write(f"Removed host {name}.")
