"""Creates an account, such as the first admin's."""

from __future__ import annotations

import getpass
import secrets
import sys
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import actions
from accounts.models import User


class Command(BaseCommand):
    help = (
        "Create an account. Without --password-stdin, the command asks for a password; leave it blank to generate one."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--admin", action="store_true", help="make the user an admin")
        parser.add_argument("--password-stdin", action="store_true", help="read the password from standard input")

    def handle(self, *args: Any, name: str, admin: bool, password_stdin: bool, **options: Any) -> None:
        user = User(username=User.normalize_username(name))
        _hold(lambda: user.full_clean(exclude=["password"]))
        password = sys.stdin.readline().rstrip("\r\n") if password_stdin else _asked()
        is_made = not password and not password_stdin
        if is_made:
            password = secrets.token_urlsafe(15)
        _hold(lambda: validate_password(password, user))
        actions.create_user(username=name, password=password, is_admin=admin, by=None)
        self.stderr.write(f"{'Admin' if admin else 'User'} {name} created.")
        if is_made:
            # The only line on standard output, so that a script can read it.
            self.stderr.write("Password (won't be shown again):")
            self.stdout.write(password)


def _asked() -> str:
    if not sys.stdin.isatty():
        return ""
    password = getpass.getpass("Password (leave blank to generate one): ")
    if password and password != getpass.getpass("Repeat password: "):
        raise CommandError("The passwords don't match. No account was created.")
    return password


def _hold(check: Any) -> None:
    try:
        check()
    except ValidationError as fault:
        raise CommandError(" ".join(fault.messages)) from fault
