"""List all hosts with their state."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db.models import Count
from django.utils import timezone

from left4me.core.natural_order import NaturalOrder
from servers.models import Host


class Command(BaseCommand):
    help = "List the hosts with state, release, servers and problems."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--worker-hosts", action="store_true", help="print only the names of the other machines")
        parser.add_argument(
            "--with-web-key",
            action="store_true",
            help="print only the names of other machines that have no key of their own yet",
        )

    def handle(self, *args: Any, worker_hosts: bool = False, with_web_key: bool = False, **options: Any) -> None:
        if worker_hosts or with_web_key:
            others = Host.objects.exclude(name=settings.LEFT4ME_HOST)
            shown = others.filter(key_number=0, knows_web_key=True) if with_web_key else others
            self.stdout.write("".join(f"{name}\n" for name in shown.values_list("name", flat=True)))
            return
        now = timezone.now()
        self.stdout.write(f"{'name':<20} {'state':<6} {'release':<22} {'servers':>7}")
        for host in Host.objects.annotate(server_count=Count("servers")).order_by(NaturalOrder("name")):
            state = "down" if host.is_down(now) else "up"
            self.stdout.write(f"{host.name:<20} {state:<6} {host.version or '–':<22} {host.server_count:>7}")
            for note in filter(None, (host.trouble(now), host.release_note())):
                self.stdout.write(f"    {note}")
