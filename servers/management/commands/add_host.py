"""Add another machine as a host."""

from __future__ import annotations

import json
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from left4me.core.env import Environment, Misconfigured
from servers import actions


class Command(BaseCommand):
    help = "Create a host, or a new token for one, and print once, as JSON, what it needs to join."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="name of the host: lower-case letters, digits and hyphens")
        parser.add_argument("--address", default="", help="address that players connect to")

    def handle(self, *args: Any, name: str, address: str, **options: Any) -> None:
        try:
            name = Environment({"NAME": name}).host_name("NAME", "")
            host, token, key = actions.add_host(name=name, by=None, address=address)
        except (Misconfigured, actions.Refused) as fault:
            raise CommandError(str(fault)) from fault
        except ValidationError as fault:
            raise CommandError(" ".join(fault.messages)) from fault
        self.stdout.write(json.dumps({"name": host.name, "token": token, "sealing_key": key}))
