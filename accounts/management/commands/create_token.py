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
    help = "Make an API token and print it, alone on standard output, this once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="whose token it is")
        parser.add_argument("--name", dest="label", required=True, help="what the token is for")
        parser.add_argument("--scope", choices=Scope.values, default=Scope.OPERATE.value)
        parser.add_argument("--expires-days", type=int, help="how long it works (default: until it is revoked)")

    def handle(self, *args: Any, name: str, label: str, scope: str, expires_days: int | None, **options: Any) -> None:
        if expires_days is not None and not 1 <= expires_days <= 36_500:
            raise CommandError("--expires-days must be from 1 to 36500.")
        try:
            user = User.objects.active().named(name).get()
        except User.DoesNotExist as fault:
            raise CommandError(f"There is no active user {name}.") from fault
        lifetime = None if expires_days is None else timedelta(days=expires_days)
        try:
            token, key = actions.create_token(user=user, name=label, scope=scope, by=None, lifetime=lifetime)
        except ValidationError as fault:
            raise CommandError(" ".join(fault.messages)) from fault
        self.stderr.write(f"The token “{token.name}” of {user} ({token.scope}), shown this once:")
        self.stdout.write(key)
