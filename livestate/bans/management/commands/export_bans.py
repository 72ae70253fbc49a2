from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from livestate.bans import formats
from livestate.bans.models import Ban

_FILES = {"users": "banned_user.cfg", "addresses": "banned_ip.cfg"}


class Command(BaseCommand):
    help = "Print the active bans of a user's lists."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--owner", required=True)
        parser.add_argument("--list", help="the name of one list; otherwise all lists of the user")
        parser.add_argument("--as", dest="kind", choices=["csv", *_FILES], default="csv")

    def handle(self, *args: Any, **options: Any) -> None:
        bans = Ban.objects.active(timezone.now()).filter(ban_list__owner__username__iexact=options["owner"])
        if options["list"]:
            bans = bans.filter(ban_list__name__iexact=options["list"])
        if not bans.exists():
            raise CommandError("No active bans found. Check the names of the user and of the list.")
        rows = bans.order_by("created_at", "pk")
        kind = options["kind"]
        text = formats.write_csv(rows) if kind == "csv" else formats.write_cfg(rows, name=_FILES[kind])
        self.stdout.write(text, ending="")
