"""Copy all rows from another database, to move from SQLite to PostgreSQL or back."""

from __future__ import annotations

import os
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from left4me.core.env import Misconfigured
from left4me.site import row_copy


class Command(BaseCommand):
    help = (
        "Replace the content of the present database by that of another one, and compare the two. left4me must be "
        "stopped; games may run. `left4mectl database move` does all of it on an installed machine."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "source",
            nargs="?",
            default="",
            metavar="URL",
            help="the other database, as in DATABASE_URL (default: the variable LEFT4ME_COPY_FROM)",
        )

    def handle(self, *args: Any, source: str, **options: Any) -> None:
        url = source or os.environ.get("LEFT4ME_COPY_FROM", "")
        if not url:
            raise CommandError(
                "Name the database to copy from, for example sqlite:////var/lib/left4me/left4me.sqlite3"
            )
        try:
            row_copy.connect_source(url)
            rows = row_copy.copy(say=self.stdout.write)
        except (row_copy.CopyFault, Misconfigured) as fault:
            raise CommandError(str(fault)) from fault
        self.stdout.write(f"Copied {rows} rows; both databases have the same content.")
