"""Forgets the second factors of a user who has lost them."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.factors import actions
from accounts.models import User


class Command(BaseCommand):
    help = "Forget all second factors of a user, and sign the user out everywhere. The password alone signs in again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")

    def handle(self, *args: Any, name: str, **options: Any) -> None:
        try:
            user = User.objects.get_by_natural_key(name)
        except User.DoesNotExist as fault:
            raise CommandError(f"No user named {name}.") from fault
        actions.reset(user=user, by=None)
        self.stderr.write(f"{user} has no second factor any more and signs in with the password.")
