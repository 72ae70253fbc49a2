"""Remove a host."""

from __future__ import annotations

from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser

from servers import actions
from servers.models import Host

_MB: Final = 1_000_000


class Command(BaseCommand):
    help = "Remove a host without servers, its token and its jobs; with --gone also one that will never answer again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--gone", action="store_true", help="the machine is lost: ask it for nothing")
        servers = parser.add_mutually_exclusive_group()
        servers.add_argument(
            "--move-servers-to", metavar="HOST", default="", help="with --gone: its servers go to this host, stopped"
        )
        servers.add_argument("--delete-servers", action="store_true", help="with --gone: its servers are deleted")

    def handle(self, *args: Any, name: str, gone: bool, **options: Any) -> None:
        if not gone and (options["move_servers_to"] or options["delete_servers"]):
            raise CommandError("Add --gone: servers of a machine that works are deleted on their pages.")
        host = Host.objects.filter(name=name).first()
        if host is None:
            self.stderr.write(f"There is no host named {name}.")
            return
        try:
            if gone:
                lost = self._remove_lost(
                    host, heir_name=options["move_servers_to"], delete_servers=options["delete_servers"]
                )
                self._report(lost)
            else:
                actions.remove_host(host=host, by=None)
        except actions.Refused as fault:
            raise CommandError(str(fault)) from fault
        self.stdout.write(f"Removed host {name}.")
        if host.knows_web_key:
            self.stdout.write(
                "An earlier release gave it the key of all RCON passwords. Run `left4mectl keys rotate`, and if "
                "somebody else has that machine, change the RCON passwords of servers on other hosts on their pages."
            )

    def _remove_lost(self, host: Host, *, heir_name: str, delete_servers: bool) -> actions.Losses:
        heir = Host.objects.filter(name=heir_name).first()
        if heir_name and heir is None:
            names = ", ".join(Host.objects.exclude(pk=host.pk).values_list("name", flat=True))
            raise CommandError(f"There is no host named {heir_name}. Other hosts: {names}.")
        servers = ", ".join(host.servers.values_list("name", flat=True))
        if servers and not heir and not delete_servers:
            raise CommandError(
                f"{host.name} still has servers: {servers}. Add --move-servers-to HOST, which moves them to another "
                "host, or --delete-servers."
            )
        return actions.remove_lost_host(host=host, by=None, heir=heir, delete_servers=delete_servers)

    def _report(self, losses: actions.Losses) -> None:
        for moved in losses.moved:
            self.stdout.write(f"Moved {moved.name}: {moved.address}. It is stopped, and its RCON password is new.")
            if moved.copied_at is None:
                self.stdout.write("  There was no copy of its files: what its game has written is lost.")
            else:
                self.stdout.write(
                    f"  Job {moved.job} restores its files from the copy of {moved.copied_at:%Y-%m-%d %H:%M} UTC "
                    f"({moved.size / _MB:,.1f} MB). What its game has written since then is lost."
                )
        for server in losses.deleted:
            self.stdout.write(f"Deleted {server}.")
        if losses.deleted:
            self.stdout.write("Lost: what these games have written on that machine, and their logs.")
        for server in losses.unrestorable:
            self.stdout.write(f"{server}, deleted before, can no longer be restored.")
        if losses.jobs:
            self.stdout.write(f"Ended {losses.jobs} of its jobs.")
