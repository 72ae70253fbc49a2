"""Add another machine as a host."""

from __future__ import annotations

import json
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from left4me.core import secrets
from left4me.core.env import Environment, Misconfigured
from servers import actions


class Command(BaseCommand):
    help = "Make a host, or a new token for one, and print what it needs to work here, this once, as JSON."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="its name among the hosts: small letters, digits, hyphens")
        parser.add_argument("--address", default="", help="what players type after “connect”")

    def handle(self, *args: Any, name: str, address: str, **options: Any) -> None:
        try:
            name = Environment({"NAME": name}).host_name("NAME", "")
            host, token = actions.add_host(name=name, by=None, address=address)
        except (Misconfigured, actions.Refused) as fault:
            raise CommandError(str(fault)) from fault
        except ValidationError as fault:
            raise CommandError(" ".join(fault.messages)) from fault
        self.stdout.write(json.dumps({"name": host.name, "token": token, "sealing_key": secrets.sealing_keys()[0]}))
