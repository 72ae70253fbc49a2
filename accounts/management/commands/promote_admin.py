"""Grants admin rights to a user."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import actions
from accounts.models import User


class Command(BaseCommand):
    help = "Make an existing user an admin."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")

    def handle(self, *args: Any, name: str, **options: Any) -> None:
        try:
            user = User.objects.get_by_natural_key(name)
        except User.DoesNotExist as fault:
            raise CommandError(f"No user named {name}. Create one with: manage.py create_user {name}") from fault
        if user.is_admin:
            self.stderr.write(f"{user} is already an admin.")
            return
        actions.set_admin(user=user, is_admin=True, by=None)
        self.stderr.write(f"{user} is now an admin.")
