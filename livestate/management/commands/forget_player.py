from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from livestate.bans import targets
from livestate.players import erasure


class Command(BaseCommand):
    help = "Remove what is stored about a player: visits, names, the Steam profile, notes, kicks and commands."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("steam_id", help="in any form")
        parser.add_argument("--with-bans", action="store_true", help="remove bans as well; they end in all games")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            target = targets.parse(options["steam_id"])
        except targets.NotTarget as fault:
            raise CommandError(str(fault)) from fault
        if not targets.is_player(target):
            raise CommandError("This is an address. Enter the SteamID of a player.")
        removed = erasure.forget(int(target), by=None, bans_too=options["with_bans"])
        self.stdout.write(
            f"Removed: {removed.visits} visits, {removed.profiles} Steam profiles, {removed.notes} notes, "
            f"{removed.orders} kicks and commands, {removed.bans} bans, {removed.votes} votes. "
            "Backups keep what they contain until they are deleted."
        )
