"""Creates an API token for a user."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import actions
from accounts.models import User
from accounts.models.tokens import Scope


class Command(BaseCommand):
    help = "Create an API token and print its key to standard output. It won't be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the user that the token belongs to")
        parser.add_argument("--name", dest="label", required=True, help="what the token is for")
        parser.add_argument("--scope", choices=Scope.values, default=Scope.OPERATE.value)
        parser.add_argument("--expires-days", type=int, help="days until the token expires (default: never)")

    def handle(self, *args: Any, name: str, label: str, scope: str, expires_days: int | None, **options: Any) -> None:
        if expires_days is not None and not 1 <= expires_days <= 36_500:
            raise CommandError("--expires-days must be between 1 and 36500.")
        try:
            user = User.objects.active().named(name).get()
        except User.DoesNotExist as fault:
            raise CommandError(f"No active user named {name}.") from fault
        lifetime = None if expires_days is None else timedelta(days=expires_days)
        try:
            token, key = actions.create_token(user=user, name=label, scope=scope, by=None, lifetime=lifetime)
        except ValidationError as fault:
            raise CommandError(" ".join(fault.messages)) from fault
        self.stderr.write(f"Token “{token.name}” of {user} ({token.scope}), won't be shown again:")
        self.stdout.write(key)
