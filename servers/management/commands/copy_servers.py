"""Copy the servers of a worker host to the machine of the web."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from servers import actions
from servers.models import Host


class Command(BaseCommand):
    help = "Request copies of all servers of a worker host, as happens every night."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")

    def handle(self, *args: Any, name: str, **options: Any) -> None:
        host = Host.objects.filter(name=name).first()
        if host is None:
            names = ", ".join(Host.objects.values_list("name", flat=True))
            raise CommandError(f"There is no host named {name}. Hosts: {names}.")
        try:
            requested = actions.request_copies(host=host, by=None)
        except actions.Refused as fault:
            raise CommandError(str(fault)) from fault
        for job in requested:
            self.stdout.write(f"Job {job.pk} copies {job.resource}.")
        if not requested:
            self.stdout.write(f"Host {name} has no servers to copy.")
