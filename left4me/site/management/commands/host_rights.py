"""Sets the database privileges of other hosts to those that this release needs."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import connection

from left4me.site import host_access, host_rights, host_rows


class Command(BaseCommand):
    help = "Grant the database roles of other hosts exactly the rights that their workers need, and print them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--tables", action="store_true", help="print privileges and conditions of rows for each table"
        )

    def handle(self, *args: Any, tables: bool, **options: Any) -> None:
        if host_rights.apply(connection):
            self.stdout.write("The privileges of other hosts are up to date.")
        else:
            self.stdout.write(f"No role {host_rights.ROLE}: no other host has been added.")
        self._print_tables() if tables else self._print_sentences()

    def _print_sentences(self) -> None:
        sorted_topics = host_access.sorted_topics(host_access.TOPICS)
        for title, topics in zip(("It reads", "It changes", "Neither"), sorted_topics.values(), strict=True):
            self.stdout.write(f"{title}:")
            for topic in topics:
                self.stdout.write(f"  - {topic.words}")

    def _print_tables(self) -> None:
        for label, rights in host_rights.RIGHTS.items():
            self.stdout.write(f"{label}: {rights or 'nothing'}")
            if not rights:
                continue
            rows = host_rows.ROWS[label]
            self.stdout.write(f"    reads rows where {rows.read}")
            if isinstance(rows, host_rows.All):
                self.stdout.write(f"    because: {rows.because}")
            if any(word in rights for word in ("INSERT", "UPDATE", "DELETE")):
                self.stdout.write(f"    changes rows where {rows.written}")
            if label in host_rows.ADDED:
                self.stdout.write(f"    adds rows where also {host_rows.ADDED[label]}")
