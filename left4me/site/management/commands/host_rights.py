"""Sets the database privileges of other hosts to those that this release needs."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.db import connection

from left4me.site import host_rights


class Command(BaseCommand):
    help = "Give the role of other hosts the rights that their workers need, and take away all others."

    def handle(self, *args: Any, **options: Any) -> None:
        if host_rights.apply(connection):
            self.stdout.write("The rights of other hosts are as this release needs them.")
        else:
            self.stdout.write(f"There is no role {host_rights.ROLE}: no other host has been added.")
