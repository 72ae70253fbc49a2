from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from accounts.models import User
from left4me.core.web.refusals import Refused
from livestate.bans import actions, formats
from livestate.bans.models import BanList


class Command(BaseCommand):
    help = "Import bans from banned_user.cfg, banned_ip.cfg, an export of SourceBans, or a CSV file of left4me."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, nargs="+")
        parser.add_argument("--owner", required=True, help="the user whose servers the bans apply to")
        parser.add_argument(
            "--list", help="the name of the list; created if there is none; otherwise the default list"
        )
        parser.add_argument("--dry-run", action="store_true", help="count only, and add nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        owner = User.objects.filter(username__iexact=options["owner"]).first()
        if owner is None:
            raise CommandError(f"There is no user {options['owner']}.")
        now = timezone.now()
        readings = []
        for path in options["file"]:
            try:
                reading = formats.read(path.read_bytes(), now=now)
            except OSError as error:
                raise CommandError(f"{path} cannot be read: {error.strerror}.") from error
            readings.append(reading)
            self.stdout.write(f"{path}: {len(reading.entries)} bans, {reading.ended} lifted or expired.")
            for line in reading.faults:
                self.stdout.write(f"  left out: {line}")
        entries = [entry for reading in readings for entry in reading.entries]
        if options["dry_run"]:
            existing = _list(owner, options["list"])
            self.stdout.write(f"{len(actions.new_entries(existing, entries, now=now))} bans would be added.")
            return
        try:
            ban_list = _list(owner, options["list"]) or _create(owner, options["list"])
            count = actions.import_entries(ban_list=ban_list, entries=entries, by=owner)
        except Refused as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write(f"{count} bans added to the list “{ban_list.title}”.")


def _list(owner: User, name: str | None) -> BanList | None:
    own = BanList.objects.filter(owner=owner, server=None)
    return own.filter(name__iexact=name).first() if name else own.filter(is_default=True).first()


def _create(owner: User, name: str | None) -> BanList:
    return actions.create_list(owner=owner, by=owner, name=name) if name else actions.default_list(owner)
