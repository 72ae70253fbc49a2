from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError

from deploy.doctor import machine, services
from deploy.doctor.findings import Finding
from servers.models import Server

_MARKS = {"ok": "ok     ", "warning": "warning", "fault": "FAULT  "}


class Command(BaseCommand):
    help = "Look at this machine and say what is missing, with the cure. Exits 1 when there is a fault."
    # The command must also run when the database or a setting is broken.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", dest="as_json", help="print the findings as JSON")

    def handle(self, *args: Any, as_json: bool, **options: Any) -> None:
        findings = examine()
        if as_json:
            self.stdout.write(json.dumps([finding.as_json() for finding in findings], indent=2))
        else:
            for finding in findings:
                self._print(finding)
        if any(finding.level == "fault" for finding in findings):
            raise SystemExit(1)

    def _print(self, finding: Finding) -> None:
        style = {"ok": self.style.SUCCESS, "warning": self.style.WARNING, "fault": self.style.ERROR}[finding.level]
        self.stdout.write(f"{style(_MARKS[finding.level])} {finding.check}: {finding.message}")
        if finding.cure:
            self.stdout.write(f"        → {finding.cure}")


def examine() -> list[Finding]:
    """Run all checks; an error in one does not stop the others."""
    root, game = settings.LEFT4ME_ROOT, settings.LEFT4ME_GAME
    return [
        machine.python(),
        services.database(),
        *services.broker(),
        machine.disk(root, game=game),
        machine.overlayfs(root),
        machine.fuse_overlayfs(),
        machine.archives(),
        machine.libraries_32_bit(game=game),
        machine.steamcmd(root, game=game),
        machine.ports(settings.LEFT4ME_PORTS, in_use_by_us=_ports_of_servers()),
    ]


def _ports_of_servers() -> frozenset[int]:
    try:
        return frozenset(Server.objects.filter(host__name=settings.LEFT4ME_HOST).values_list("port", flat=True))
    except DatabaseError:
        return frozenset()
