"""Sets the database privileges of other hosts to those that this release needs."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.db import connection

from left4me.site import host_rights


class Command(BaseCommand):
    help = "Grant the database role of other hosts exactly the privileges that their workers need."

    def handle(self, *args: Any, **options: Any) -> None:
        if host_rights.apply(connection):
            self.stdout.write("The privileges of other hosts are up to date.")
        else:
            self.stdout.write(f"No role {host_rights.ROLE}: no other host has been added.")
